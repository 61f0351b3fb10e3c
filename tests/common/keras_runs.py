"""Runs of `rmsprop.keras.RMSprop`, in the form in which those on NumPy arrays are kept.

Folders set `KERAS_BACKEND` before.
"""

from contextlib import nullcontext

import cases
import keras
import numpy
import oldest

from rmsprop._core.slots import KERAS_ATTRIBUTES
from rmsprop.keras import RMSprop

BACKEND = keras.backend.backend()

#: How much, relatively, a native step may differ from NumPy's: nothing. The oldest JAX has no native steps.
NATIVE_DIFFERS_BY = 3e-7 if BACKEND == "jax" and oldest.jax_is_traced() else 0


def precision(dtype):
    """Let JAX keep float64 where that is what is tested."""
    if BACKEND != "jax":
        return nullcontext()
    import jax

    return jax.enable_x64(numpy.dtype(dtype) == numpy.float64)


def array(variable):
    """A copy of a variable's numbers."""
    return numpy.array(keras.ops.convert_to_numpy(getattr(variable, "value", variable)))


def variables(arrays):
    """Variables by name."""
    return {
        name: keras.Variable(one, dtype=numpy.asarray(one).dtype.name, name=name.replace("/", "_"))
        for name, one in arrays.items()
    }


def tensor(gradient):
    """A gradient as the backend has them."""
    return keras.ops.convert_to_tensor(gradient, numpy.asarray(gradient).dtype.name)


def build(options, arrays, make=RMSprop, **arguments):
    """An optimizer, built, and its variables by name."""
    named = variables(arrays)
    optimizer = make(**options, **arguments)
    optimizer.build(list(named.values()))
    return optimizer, named


def step(optimizer, named, gradients):
    """Do a step with ``{name: gradient}``."""
    optimizer.apply_gradients([(tensor(gradients[name]), variable) for name, variable in named.items()])


def state(optimizer, named):
    """The live variables, slot -> name -> variable, "variables" among the slots."""
    slots = {"variables": dict(named)}
    for slot, home in KERAS_ATTRIBUTES.items():
        made = getattr(optimizer, home, [])
        if len(made):
            slots[slot] = dict(zip(named, made, strict=True))
    return slots


def path(options, dtype, steps, make=RMSprop, **arguments):
    """Do steps with the table's variables and gradients; slot -> name -> array with what is there after each."""
    with precision(dtype):
        optimizer, named = build(options, cases.variables(dtype), make, **arguments)
        slots = state(optimizer, named)
        flat = cases.follow(
            lambda gradients: step(optimizer, named, gradients),
            lambda: {(slot, name): array(one) for slot, ones in slots.items() for name, one in ones.items()},
            cases.gradients(steps, dtype),
        )
        assert int(optimizer.iterations) == steps
    return {slot: {name: flat[slot, name] for name in ones} for slot, ones in slots.items()}


def deviation(found, expected):
    """The largest deviation of any slot."""
    assert found.keys() == expected.keys()
    return max(cases.deviation(found[slot], expected[slot]) for slot in expected)


def data(rows=96):
    """Numbers to learn."""
    random = numpy.random.default_rng(0)
    return random.normal(size=(rows, 8)).astype("float32"), random.normal(size=(rows, 1)).astype("float32")


def network(seed=3):
    """A small model."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])


def model(optimizer, seed=3, **compiling):
    """A small model, compiled."""
    made = network(seed)
    made.compile(optimizer=optimizer, loss=keras.losses.MeanSquaredError(), **compiling)
    return made


def fit(made, epochs=2, **arguments):
    """Train a model by the numbers, in their order."""
    return made.fit(*data(), batch_size=16, epochs=epochs, shuffle=False, verbose=0, **arguments)


def move(made, steps=3):
    """Step a model's weights by made-up gradients: its optimizer's state is then other than at the start."""
    made.optimizer.build(made.trainable_variables)
    random = numpy.random.default_rng(1)
    for _ in range(steps):
        gradients = [tensor(random.normal(size=one.shape).astype("float32")) for one in made.trainable_variables]
        made.optimizer.apply(gradients, made.trainable_variables)


def weights(made):
    """Copies of a model's weights."""
    return [numpy.array(one) for one in made.get_weights()]


def assert_same(found, expected, tolerance=0.0):
    """Two lists of arrays are the same, or within a tolerance."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
