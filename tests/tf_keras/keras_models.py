"""Small models, their data, and ways to step, read and compare them."""

import numpy
import tf_keras

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

#: Everything on at once; with 3 the averages are written into the weights in both halves of a run of ten steps.
EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "global_clipnorm": 0.5,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
}  # fmt: skip

#: What runs are resumed with.
OPTIONS = {
    "plain": lambda: {"learning_rate": 2.0**-7},
    "everything": lambda: dict(EVERYTHING),
    "a schedule of tf_keras's": lambda: {
        "learning_rate": tf_keras.optimizers.schedules.ExponentialDecay(2.0**-6, 4, 0.5),
        "momentum": 0.9,
    },
    "a schedule of ours": lambda: {"learning_rate": schedules.CosineDecay(2.0**-6, 12), "weight_decay": 2.0**-8},
    "slots of another type": lambda: {"slot_dtype": "float64", "momentum": 0.9, "use_ema": True},
}

BATCH, BATCHES = 8, 10

_random = numpy.random.default_rng(0)
#: Each row is a batch.
X = _random.normal(size=(BATCHES, BATCH, 4)).astype(numpy.float32)
Y = numpy.sin(X.sum(2, keepdims=True)) + 1


def mlp(seed=0, dtype=None, **first):
    """A small model with the same start values every time; `first` are arguments of its first layer."""
    tf_keras.utils.set_random_seed(seed)
    layers = tf_keras.layers
    return tf_keras.Sequential([
        layers.Input((4,)),
        layers.Dense(5, activation="tanh", name="first", dtype=dtype, **first),
        layers.Dense(1, name="last", dtype=dtype),
    ])  # fmt: skip


def compiled(optimizer, model=None, **arguments):
    """A model that is ready to train."""
    model = mlp() if model is None else model
    model.compile(optimizer, "mse", **arguments)
    return model


def train(model, begin=0, end=BATCHES):
    """Do one step with each of the batches from `begin` to `end`, and give the losses."""
    return [model.train_on_batch(X[i], Y[i]) for i in range(begin, end)]


def arrays(variables):
    """What variables hold."""
    return [variable.numpy() for variable in variables]


def state(model):
    """Weights and the optimizer's variables, name -> array; a step names them in a scope, `build` does not."""
    variables = [*model.weights, *model.optimizer.variables]
    return {variable.name.removeprefix("RMSprop/"): variable.numpy() for variable in variables}


def assert_same(found, expected):
    """Two states are the same bits under the same names."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def furthest(found, expected, least=0.0):
    """The largest difference between two lists of arrays, each relative to its largest element, or `least`."""
    worst = [0.0]
    for one, other in zip(found, expected, strict=True):
        one, other = (numpy.asarray(array, numpy.float64) for array in (one, other))
        assert one.shape == other.shape
        if other.size and (one != other).any():
            worst.append(abs(one - other).max() / max(abs(other).max(), least))
    return float(numpy.max(worst))


def assert_ours(optimizer):
    """It is our class, which an unregistered one of this name would not come back as."""
    assert type(optimizer) is RMSprop
