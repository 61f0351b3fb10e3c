"""DTensor: a Keras model with a `LayoutMap` in `fit`, checkpoints, and the strategy that is made of a mesh."""

import meshes
import numpy
import original
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.experimental import dtensor
from tensorflow.python.distribute.experimental import mirrored_strategy

# test_dtensor.py and test_dtensor_training.py step variables on a mesh in make test.
pytestmark = pytest.mark.slow

EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "global_clipnorm": 1.0,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
}  # fmt: skip

# Measured: 6.5e-7 in eight steps: sums over the devices are taken in another order, which the next gradients show.
BOUND = 1e-5

LAYOUTS = {"first.*kernel": (None, "model"), "first.*bias": ("model",), "second.*kernel": ("model", None)}
INPUTS = numpy.random.default_rng(0).normal(size=(64, 8)).astype(numpy.float32)
TARGETS = INPUTS.sum(1, keepdims=True)


def layers():
    return [
        tf_keras.layers.Dense(16, activation="relu", input_shape=(8,), name="first"),
        tf_keras.layers.Dense(1, name="second"),
    ]


def layout(*cuts):
    return dtensor.Layout([cut or dtensor.UNSHARDED for cut in cuts], meshes.MESH)


def sharded_model(make, options):
    tf_keras.utils.set_random_seed(0)
    layouts = tf_keras.dtensor.experimental.LayoutMap(mesh=meshes.MESH)
    for pattern, cuts in LAYOUTS.items():
        layouts[pattern] = layout(*cuts)
    with layouts.scope():
        model = tf_keras.Sequential(layers())
    model.compile(make(options | {"mesh": meshes.MESH}), "mse")
    return model


def fit_sharded(model):
    """Two epochs of four batches, each cut between two rows of the mesh."""
    data = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).repeat()
    data = dtensor.DTensorDataset(
        dataset=data, global_batch_size=16, mesh=meshes.MESH, layouts=(layout("batch", None),) * 2, batch_dim="batch"
    )
    model.fit(data, epochs=2, steps_per_epoch=4, verbose=0)
    return [meshes.fetch(one) for one in model.trainable_variables]


def fit_alone(start, options):
    model = tf_keras.Sequential(layers())
    model.set_weights(start)
    model.compile(meshes.ours(options), "mse")
    model.fit(INPUTS, TARGETS, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


def apart(found, expected):
    return max(float(numpy.abs(a - b).max() / numpy.abs(b).max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("options", [{"learning_rate": 2.0**-7}, EVERYTHING], ids=["plain", "everything"])
def test_keras_model_with_layouts_trains_as_on_one_device(options):
    model = sharded_model(meshes.ours, options)
    start = [meshes.fetch(one) for one in model.trainable_variables]
    found = fit_sharded(model)
    assert apart(found, fit_alone(start, options)) <= BOUND
    assert [meshes.cuts_of(one) for one in model.trainable_variables] == [
        (dtensor.UNSHARDED, "model"), ("model",), ("model", dtensor.UNSHARDED), (dtensor.UNSHARDED,)
    ]  # fmt: skip
    state = model.optimizer.variables[1:]
    assert [meshes.cuts_of(one) for one in state[:4]] == [meshes.cuts_of(one) for one in model.trainable_variables]


def test_tf_keras_s_own_optimizer_does_not_train_it():
    """It reads the velocity of the step before, see `training`: steps far too long."""
    start = [meshes.fetch(one) for one in sharded_model(meshes.ours, {}).trainable_variables]
    found = fit_sharded(sharded_model(original.optimizer, {"learning_rate": 2.0**-7}))
    # NaN is not <= 1 either.
    assert not apart(found, fit_alone(start, {"learning_rate": 2.0**-7})) <= 1


# Checkpoints ----------------------------------------------------------------------------------------------------------


def checkpoint(run):
    return tf.train.Checkpoint(optimizer=run.optimizer, **{str(i): v for i, v in enumerate(run.variables.values())})


def stepped(run, seeds):
    for seed in seeds:
        run.step(meshes.arrays(seed))
    return run


OPTIONS = {"learning_rate": 2.0**-7, "momentum": 0.9, "centered": True}


@pytest.mark.parametrize(
    ("write", "read"),
    [(meshes.ours, meshes.ours), (meshes.ours, original.optimizer), (original.optimizer, meshes.ours)],
    ids=["ours", "to tf_keras", "from tf_keras"],
)
def test_checkpoint_goes_on(write, read, tmp_path):
    written = stepped(meshes.OnMesh(write, OPTIONS), [1, 2])
    path = checkpoint(written).write(str(tmp_path / "checkpoint"))
    stepped(written, [3, 4])
    found = meshes.OnMesh(read, OPTIONS)
    # Read before the state is there, as in a new process.
    reading = checkpoint(found).read(path)
    stepped(found, [3, 4])
    reading.assert_consumed()
    # Measured: 0 and 1e-7.
    assert meshes.deviation(found.now(), written.now()) <= (0 if read is write else 1e-6)
    assert meshes.fetch(found.optimizer.iterations) == 4


# A strategy made of a mesh --------------------------------------------------------------------------------------------


def test_strategy_that_is_made_of_a_mesh_trains_as_one_device():
    """TensorFlow's experimental one; the optimizer gets no `mesh` then."""
    strategy = mirrored_strategy.MirroredStrategy(mesh=dtensor.create_mesh([("batch", 4)], devices=[
        f"CPU:{i}" for i in range(4)
    ]))  # fmt: skip
    start = meshes.arrays()
    with strategy.scope():
        variables = {name: tf.Variable(one, name=name) for name, one in start.items()}
        optimizer = meshes.ours(EVERYTHING)
    alone = {name: tf.Variable(one, name=name) for name, one in start.items()}
    optimizer_alone = meshes.ours(EVERYTHING)

    def step(optimizer, variables):
        optimizer.apply_gradients([(2.0 * variable, variable) for variable in variables.values()])

    @tf.function(autograph=False)
    def together():
        strategy.run(lambda: step(optimizer, variables))

    for _ in range(4):
        together()
        step(optimizer_alone, alone)
    assert {type(one).__name__ for one in optimizer.variables} == {"DVariable"}
    found = {name: meshes.fetch(one) for name, one in variables.items()}
    assert meshes.deviation(found, {name: one.numpy() for name, one in alone.items()}) <= BOUND
