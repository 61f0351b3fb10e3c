"""Variables that are made while a function is traced, as those of a model without an input layer, and their averages.

Such a variable gets its value after the trace; its average starts there all the same.
"""

import keras
import numpy
import pytest
import tensorflow as tf

from rmsprop.keras import RMSprop

_X, _Y = numpy.ones((8, 6), "float32"), numpy.ones((8, 2), "float32")


def _model(*first):
    keras.utils.set_random_seed(3)
    return keras.Sequential([*first, keras.layers.Dense(5), keras.layers.Dense(2)])


def _trained(model, steps=4, **arguments):
    optimizer = RMSprop(0.01, use_ema=True, ema_overwrite_frequency=3)
    model.compile(optimizer, "mse", **arguments)
    for _ in range(steps):
        model.train_on_batch(_X, _Y)
    return [*model.trainable_variables, *optimizer.variables]


@pytest.mark.parametrize(
    ("native", "by_xla"), [("0", False), ("1", False), pytest.param("1", True, marks=pytest.mark.slow)]
)
def test_trains_as_a_model_that_was_built_before(native, by_xla, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", native)
    expected = _trained(_model(keras.Input((6,))), jit_compile=by_xla)
    found = _trained(_model(), jit_compile=by_xla)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


def _start(shape, dtype=None):
    return tf.random.uniform(shape, 1.0, 2.0, dtype)


def _plain(optimizer, variables, x):
    optimizer.apply_gradients([(0.0 * x, variables[0])])


def _build(optimizer, variables, x):
    optimizer.build(variables)
    optimizer.apply_gradients([(0.0 * x, variables[0])])


def _branch(optimizer, variables, x):
    if tf.reduce_sum(x) > 0:
        optimizer.apply_gradients([(0.0 * x, variables[0])])


def _loop(optimizer, variables, x):
    for _ in tf.range(2):
        optimizer.apply_gradients([(0.0 * x, variables[0])])


_WAYS = [_plain, _build, _branch, _loop]


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("make", [keras.Variable, None])
@pytest.mark.matrix(4)
def test_starts_at_the_value_that_the_variable_gets(way, make):
    optimizer, variables = RMSprop(use_ema=True, native=True), []

    @tf.function
    def step(x):
        if not variables:
            variables.append(make(_start, shape=(300,)) if make else tf.Variable(lambda: _start((300,), tf.float32)))
        way(optimizer, variables, x)

    for _ in range(3):
        step(tf.ones(300))
    value = variables[0].numpy()
    assert value.min() >= 1.0
    # Gradients are 0: the variable stays where it started.
    numpy.testing.assert_allclose(optimizer.variables[2].numpy(), value, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.matrix(2)
def test_starts_in_the_type_of_the_state(dtype):
    optimizer, model = RMSprop(use_ema=True, slot_dtype=dtype), _model()
    model.compile(optimizer, "mse")
    model.train_on_batch(_X, _Y)
    average = optimizer.variables[2]
    assert (average.dtype, average.shape) == (dtype, (6, 5))
    assert average.numpy().shape == (6, 5)
    numpy.testing.assert_allclose(average.numpy().astype("float64"), model.trainable_variables[0].numpy(), atol=0.01)


def test_a_function_that_is_traced_but_not_run_gives_values():
    optimizer, variables = RMSprop(use_ema=True), []

    @tf.function
    def step(x):
        if not variables:
            variables.append(keras.Variable(_start, shape=(3,)))
        optimizer.apply_gradients([(x, variables[0])])

    concrete = step.get_concrete_function(tf.ones(3))
    numpy.testing.assert_array_equal(optimizer.variables[2].numpy(), variables[0].numpy())
    concrete(tf.ones(3))
    assert int(optimizer.iterations.value) == 1


def test_a_value_that_depends_on_the_functions_arguments():
    optimizer, variables = RMSprop(use_ema=True), []

    @tf.function
    def step(x):
        if not variables:
            variables.append(tf.Variable(lambda: 2 * x))
        optimizer.apply_gradients([(0.0 * x, variables[0])])

    for _ in range(3):
        step(tf.constant([1.0, 2.0]))
    numpy.testing.assert_allclose(optimizer.variables[2].numpy(), [2.0, 4.0], rtol=1e-6)


def test_one_variable_of_the_function_beside_one_from_before():
    optimizer, variables = RMSprop(use_ema=True), [keras.Variable([5.0, 6.0])]

    @tf.function
    def step(x):
        if len(variables) == 1:
            variables.append(keras.Variable(_start, shape=(3,)))
        optimizer.apply_gradients([(0.0 * one, one) for one in variables])

    step(tf.ones(3))
    for average, variable in zip(optimizer.variables[2:4], variables, strict=True):
        numpy.testing.assert_allclose(average.numpy(), variable.numpy(), rtol=1e-6)


def test_within_a_strategy():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = _model()
        found = _trained(model)
    expected = _trained(_model(keras.Input((6,))))
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
