"""Half precision: `mixed_float16` with its LossScaleOptimizer, `mixed_bfloat16`, and variables of half types."""

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import (
    BATCHES,
    EVERYTHING,
    X,
    Y,
    arrays,
    assert_ours,
    assert_same,
    compiled,
    furthest,
    mlp,
    state,
    train,
)

from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop
LossScaleOptimizer = tf_keras.mixed_precision.LossScaleOptimizer
PLAIN = {"learning_rate": 2.0**-7}
options = pytest.mark.parametrize("options", [PLAIN, EVERYTHING], ids=["plain", "everything"])
policies = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])

# Relative to the largest element of each tensor after ten steps: measured up to 2.4e-7. The original multiplies by
# rsqrt, an ulp or two of a step; the weights are float32, and what the model computes in halves rounds that away.
BOUND = 3e-6


@pytest.fixture(autouse=True)
def _policy():
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


def _use(policy):
    tf_keras.mixed_precision.set_global_policy(policy)


@policies
@options
@pytest.mark.matrix(1)
def test_training_is_the_original_s(policy, options):
    _use(policy)
    ours, theirs = (compiled(kind(**options)) for kind in (RMSprop, Original))
    losses, their_losses = train(ours), train(theirs)
    assert losses == pytest.approx(their_losses, rel=1e-3)  # measured 0; they are of half types
    for mine, others in ((ours.weights, theirs.weights), (ours.optimizer.variables, theirs.optimizer.variables)):
        assert furthest(arrays(mine), arrays(others)) <= BOUND
    assert {variable.dtype.name for variable in ours.optimizer.variables[1:]} == {"float32"}
    assert numpy.mean(train(ours)) < numpy.mean(losses)


@pytest.mark.parametrize(
    "options", [pytest.param(PLAIN, marks=pytest.mark.slow), EVERYTHING], ids=["plain", "everything"]
)
@pytest.mark.parametrize(
    "arguments", [{"run_eagerly": True}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)], ids=str
)
def test_every_way_to_run_a_step(arguments, options):
    """In float16; against the original in the same way, as what a model computes in it differs between ways.

    Measured up to 2.2e-7, with XLA.
    """
    _use("mixed_float16")
    found, expected = (compiled(kind(**options), **arguments) for kind in (RMSprop, Original))
    train(found)
    train(expected)
    assert furthest(found.get_weights(), expected.get_weights()) <= BOUND


# LossScaleOptimizer ---------------------------------------------------------------------------------------------------


def test_compile_wraps_ours():
    _use("mixed_float16")
    optimizer = RMSprop(0.5)
    model = compiled(optimizer)
    assert isinstance(model.optimizer, LossScaleOptimizer)
    assert model.optimizer.inner_optimizer is optimizer
    assert model.optimizer.learning_rate is optimizer.learning_rate
    model.optimizer.learning_rate = 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25
    by_hand = LossScaleOptimizer(RMSprop(), initial_scale=8.0)
    assert compiled(by_hand).optimizer is by_hand


@pytest.mark.parametrize("wrap", [lambda step: step, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.matrix(2)
def test_a_loop_with_scaled_losses(wrap, dynamic):
    """The powers of two by which it scales change nothing."""
    optimizer, expected = RMSprop(**EVERYTHING), RMSprop(**EVERYTHING)
    scaled = LossScaleOptimizer(optimizer, dynamic=dynamic, initial_scale=1024.0)
    models = mlp(), mlp()

    @wrap
    def step(x, y):
        with tf.GradientTape(persistent=True) as tape:
            losses = [tf.reduce_mean(tf.square(model(x) - y)) for model in models]
            loss = scaled.get_scaled_loss(losses[0])
        variables = [model.trainable_variables for model in models]
        gradients = scaled.get_unscaled_gradients(tape.gradient(loss, variables[0]))
        scaled.apply_gradients(zip(gradients, variables[0], strict=True))
        expected.apply_gradients(zip(tape.gradient(losses[1], variables[1]), variables[1], strict=True))

    for batch in range(BATCHES):
        step(tf.constant(X[batch]), tf.constant(Y[batch]))
    assert furthest(arrays(optimizer.variables), arrays(expected.variables)) == 0
    assert furthest(*(model.get_weights() for model in models)) == 0


def test_minimize_scales_by_itself():
    variable, expected = tf.Variable([1.0, -2.0]), tf.Variable([1.0, -2.0])
    LossScaleOptimizer(RMSprop(0.5)).minimize(lambda: tf.reduce_sum(variable**2), [variable])
    RMSprop(0.5).minimize(lambda: tf.reduce_sum(expected**2), [expected])
    numpy.testing.assert_array_equal(variable.numpy(), expected.numpy())


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize(
    "kind", [pytest.param(Original, marks=pytest.mark.slow), RMSprop], ids=["the original", "ours"]
)
def test_a_step_without_finite_gradients_is_skipped(kind, run_eagerly):
    """Weights, averages and slots stay. Only tf_keras's wrapper counts it as a step, whatever it wraps."""
    _use("mixed_float16")
    optimizer = LossScaleOptimizer(kind(**EVERYTHING), initial_scale=256.0)
    model = compiled(optimizer, run_eagerly=run_eagerly)
    train(model, 0, 2)
    for steps, (bad, scale) in enumerate([(numpy.inf, 128), (numpy.nan, 64)], start=2):
        before = state(model)
        x = X[2].copy()
        x[0, 0] = bad
        model.train_on_batch(x, Y[2])
        after = state(model)
        assert (before.pop("iteration:0"), after.pop("iteration:0")) == (steps, steps + 1)
        assert_same(after, before)
        assert optimizer.loss_scale.numpy() == scale
    train(model, 3, 4)
    assert (state(model)["first/kernel:0"] != before["first/kernel:0"]).any()


def test_without_the_wrapper_nothing_is_swallowed():
    model = compiled(RMSprop(**EVERYTHING))
    model.train_on_batch(numpy.full_like(X[0], numpy.nan), Y[0])
    assert all(numpy.isnan(array).all() for array in model.get_weights())


def test_the_loss_scale_grows():
    model = compiled(LossScaleOptimizer(RMSprop(), initial_scale=2.0, dynamic_growth_steps=3))
    train(model, 0, 7)
    assert model.optimizer.loss_scale.numpy() == 8


# Saving ---------------------------------------------------------------------------------------------------------------


def _wrapped(**arguments):
    return compiled(LossScaleOptimizer(RMSprop(**EVERYTHING), dynamic_growth_steps=3), **arguments)


def test_checkpoints_hold_the_loss_scale_too(tmp_path):
    _use("mixed_float16")
    model = _wrapped()
    train(model, 0, 5)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    again = _wrapped(model=mlp(seed=1))
    tf.train.Checkpoint(model=again).read(path).expect_partial()
    train(model, 5)
    train(again, 5)
    assert_same(state(again), state(model))
    assert again.optimizer.loss_scale.numpy() == model.optimizer.loss_scale.numpy()
    assert again.optimizer.dynamic_counter.numpy() == model.optimizer.dynamic_counter.numpy()


def test_a_checkpoint_of_the_bare_optimizer_fits_a_wrapped_one(tmp_path):
    """The wrapper stands in a checkpoint as what it wraps."""
    bare, wrapped = compiled(RMSprop(**EVERYTHING)), _wrapped(model=mlp(seed=1))
    train(bare, 0, 5)
    path = tf.train.Checkpoint(model=bare).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=wrapped).read(path).expect_partial()
    wrapped.optimizer.build(wrapped.trainable_variables)
    assert_same(state(wrapped), state(bare))


def test_keras_files(tmp_path):
    """They hold all but the loss scale, which tf_keras does not write."""
    _use("mixed_float16")
    model = _wrapped()
    train(model, 0, 5)
    model.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras")
    assert_ours(again.optimizer.inner_optimizer)
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert_same(state(again), state(model))
    train(model, 5)
    train(again, 5)
    # Measured 0: the scales of both runs were small enough for float16.
    assert furthest(again.get_weights(), model.get_weights()) <= BOUND


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_h5_files_come_back_with_the_original_inside(tmp_path):
    """tf_keras reads what its wrapper wraps by the bare name, in lower case, and takes its own class.

    Save `.keras` or checkpoints instead: this is held here so that a tf_keras that mends it is noticed.
    """
    _use("mixed_float16")
    model = compiled(RMSprop(**PLAIN))
    train(model, 0, 2)
    model.save(tmp_path / "model.h5")
    again = tf_keras.models.load_model(tmp_path / "model.h5").optimizer
    assert type(again.inner_optimizer) is Original
    assert again.iterations.numpy() == 0


# Variables of half types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.matrix(2)
def test_state_in_float32(dtype, run_eagerly):
    """It is what it is beside a float32 variable of the same gradients, whatever the variable is rounded to."""
    start = numpy.linspace(-2, 2, 9)
    given = numpy.random.default_rng(0).normal(size=(20, 9)).astype(numpy.float16)
    settings = {**EVERYTHING, "weight_decay": None, "use_ema": False}
    half, single = tf.Variable(tf.cast(start, dtype)), tf.Variable(tf.cast(start, "float32"))
    one, other = RMSprop(**settings, slot_dtype="float32"), RMSprop(**settings)
    single.assign(tf.cast(half, "float32"))

    def step(gradient):
        one.apply_gradients([(gradient, half)])
        other.apply_gradients([(tf.cast(gradient, "float32"), single)])

    run = step if run_eagerly else tf.function(step)
    for row in given:
        run(tf.cast(row, dtype))
    assert half.dtype == dtype
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        assert mine.dtype == theirs.dtype
        numpy.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize(("dtype", "reached"), [("bfloat16", 0.81), ("float16", 0.98)])
@pytest.mark.matrix(1)
def test_what_state_in_float32_is_for(dtype, reached):
    """An average with 0.99 of ones: in a half type it stalls where a hundredth of the rest is less than half an ulp."""
    found = {}
    for slot_dtype in (None, "float32"):
        variable = tf.Variable(tf.zeros(3, dtype))
        optimizer = RMSprop(0.0, rho=0.99, slot_dtype=slot_dtype)
        step = tf.function(lambda gradient, o=optimizer, v=variable: o.apply_gradients([(gradient, v)]))
        for _ in range(500):
            step(tf.ones(3, dtype))
        found[slot_dtype] = float(optimizer.variables[1][0])
    assert found["float32"] == pytest.approx(1 - 0.99**500, rel=1e-5)
    assert found[None] < reached
