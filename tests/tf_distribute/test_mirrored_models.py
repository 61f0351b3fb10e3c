"""MirroredStrategy: whole models in `fit`, and their checkpoints."""

import numpy
import original
import pytest
import replicas
import tensorflow as tf
import tf_keras

# test_mirrored.py and tests/keras_strategies step copies of variables in make test.
pytestmark = pytest.mark.slow

EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "clipnorm": 1.0,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5,
}  # fmt: skip
OPTIONS = {"plain": {"learning_rate": 2.0**-7}, "everything": EVERYTHING}

# Measured: 1.3e-6 for the plain steps, 3.6e-7 else. The replicas' halves of a batch are summed in another order than
# one device sums a whole one, and tf_keras rounds otherwise, which the model's next gradients repeat.
BOUND = 1e-5


def numbers(*shape):
    return numpy.random.default_rng(0).normal(size=shape).astype(numpy.float32)


def dense(strategy, make, options, **compiled):
    """A model with a constraint, compiled in the scope of a strategy."""
    with strategy.scope():
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential(
            [
                tf_keras.layers.Dense(16, activation="tanh", input_shape=(5,)),
                tf_keras.layers.Dense(1, kernel_constraint=tf_keras.constraints.MaxNorm(0.5), dtype="float32"),
            ]
        )
        model.compile(make(options), "mse", **compiled)
    return model


def embedding(strategy, make, options):
    with strategy.scope():
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([
            tf_keras.layers.Embedding(20, 4, input_length=3), tf_keras.layers.Flatten(), tf_keras.layers.Dense(1),
        ])  # fmt: skip
        model.compile(make(options), "mse")
    return model


def fit(model, epochs=1, inputs=None):
    inputs = numbers(64, 5) if inputs is None else inputs
    model.fit(inputs, numbers(64, 1), batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return {weight.name: weight.numpy() for weight in model.trainable_variables}


def apart(found, expected):
    return max(
        float(numpy.abs(one - other).max() / numpy.abs(other).max())
        for one, other in zip(found.values(), expected.values(), strict=True)
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_fit_ends_as_with_tf_keras_and_as_on_one_device(options):
    found = fit(dense(replicas.mirrored(), replicas.ours, options))
    assert apart(found, fit(dense(replicas.mirrored(), original.optimizer, options))) <= BOUND
    assert apart(found, fit(dense(replicas.one_device(), replicas.ours, options))) <= BOUND


def test_embedding_is_trained_as_with_tf_keras_and_as_on_one_device():
    """Rows that both replicas hand in, rows that one does, and rows of momentum that none does."""
    tokens = numpy.random.default_rng(1).integers(0, 15, (64, 3))
    options = {"learning_rate": 2.0**-7, "momentum": 0.9}
    found = fit(embedding(replicas.mirrored(), replicas.ours, options), inputs=tokens)
    theirs = fit(embedding(replicas.mirrored(), original.optimizer, options), inputs=tokens)
    alone = fit(embedding(replicas.one_device(), replicas.ours, options), inputs=tokens)
    assert apart(found, theirs) <= BOUND
    assert apart(found, alone) <= BOUND


def test_several_steps_an_execution_are_the_same_steps():
    one_by_one = fit(dense(replicas.mirrored(), replicas.ours, EVERYTHING))
    together = fit(dense(replicas.mirrored(), replicas.ours, EVERYTHING, steps_per_execution=4))
    # Measured: 0; the graphs are the same.
    assert apart(together, one_by_one) <= 1e-6


@pytest.fixture
def mixed_precision():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
def test_mixed_precision_trains_as_with_tf_keras():
    """`compile` wraps the optimizer into a LossScaleOptimizer, which calls it on each replica."""
    models = [dense(replicas.mirrored(), make, EVERYTHING) for make in (replicas.ours, original.optimizer)]
    found, theirs = (fit(model) for model in models)
    for model in models:
        assert isinstance(model.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
        # The scale starts at 2 ** 15 and no step overflows.
        assert model.optimizer.inner_optimizer.iterations.numpy() == 8
    # Measured: 2e-7; a last bit of a weight may flip one of a float16, 5e-4 of it, which a step takes in by 1 %.
    assert apart(found, theirs) <= BOUND


# Checkpoints ----------------------------------------------------------------------------------------------------------


def checkpoint(model, path):
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(path / "checkpoint"))


def restored(model, path, strategy):
    """Restore before the state is there, as a fresh process does."""
    with strategy.scope():
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).read(path).expect_partial()
    return model


TARGETS = {
    "ours, mirrored": (replicas.mirrored, replicas.ours),
    "ours, one device": (replicas.one_device, replicas.ours),
    "tf_keras, mirrored": (replicas.mirrored, original.optimizer),
}


@pytest.mark.parametrize(("strategy", "make"), TARGETS.values(), ids=TARGETS)
def test_checkpoint_goes_on_elsewhere(strategy, make, tmp_path):
    model = dense(replicas.mirrored(), replicas.ours, EVERYTHING)
    fit(model)
    path = checkpoint(model, tmp_path)
    expected = fit(model)
    found = fit(restored(dense(strategy(), make, EVERYTHING), path, strategy()))
    # Bit for bit with the same optimizer and strategy; else as far apart as in eight steps above.
    assert apart(found, expected) <= (0 if (strategy, make) == TARGETS["ours, mirrored"] else BOUND)


@pytest.mark.parametrize(
    ("strategy", "make"),
    [(replicas.mirrored, original.optimizer), (replicas.one_device, replicas.ours)],
    ids=["tf_keras", "one device"],
)
def test_checkpoint_of_others_goes_on_under_the_strategy(strategy, make, tmp_path):
    model = dense(strategy(), make, EVERYTHING)
    fit(model)
    path = checkpoint(model, tmp_path)
    expected = fit(model)
    found = fit(restored(dense(replicas.mirrored(), replicas.ours, EVERYTHING), path, replicas.mirrored()))
    assert apart(found, expected) <= BOUND


def test_keras_file_goes_on_in_the_scope(tmp_path):
    model = dense(replicas.mirrored(), replicas.ours, EVERYTHING)
    fit(model)
    model.save(tmp_path / "model.keras")
    expected = fit(model)
    with replicas.mirrored().scope():
        loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert apart(fit(loaded), expected) == 0
