"""Variables that a function makes when it is called first: they have no value yet when the optimizer sees them."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

OPTIONS = {"learning_rate": 0.25, "momentum": 0.5, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 3}
STEPS = 5

natives = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
sizes = pytest.mark.parametrize("size", [1, 3, 100_000])


class Lazy:
    """A function that makes its variables when it is called first, and steps them; `steps` of it."""

    def __init__(self, make, options=None, **traced):
        self.optimizer, self.variables = RMSprop(**OPTIONS | (options or {})), []

        @tf.function(**traced)
        def step():
            if not self.variables:
                self.variables += make()
            self.optimizer.apply_gradients([(variable * 2, variable) for variable in self.variables])

        for _ in range(STEPS):
            step()

    def arrays(self):
        return [one.numpy() for one in (*self.variables, *self.optimizer.variables)]


def assert_as_made_before(arrays, start, **options):
    """The same steps of variables that are there before the function."""
    variables = [tf.Variable(array) for array in start]
    optimizer = RMSprop(**OPTIONS | options)
    step = tf.function(lambda: optimizer.apply_gradients([(variable * 2, variable) for variable in variables]))
    for _ in range(STEPS):
        step()
    for found, expected in zip(arrays, [*variables, *optimizer.variables], strict=True):
        if options.get("native", True):
            runs.assert_bits(found, expected.numpy())
        else:  # TensorFlow may put the operations of a graph in another order
            numpy.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def ramp(size):
    return numpy.linspace(-1, 2, size, dtype=numpy.float32)


@natives
@sizes
@pytest.mark.matrix(3)
def test_averages_start_as_the_variables(size, native):
    lazy = Lazy(lambda: [tf.Variable(tf.linspace(-1.0, 2.0, size)), tf.Variable(3.0)], {"native": native})
    assert_as_made_before(lazy.arrays(), [tf.linspace(-1.0, 2.0, size), numpy.float32(3)], native=native)


@natives
def test_averages_start_as_what_is_drawn_by_chance(native):
    """The value that the variable gets is drawn when the function runs."""
    options = {"native": native, "ema_momentum": 1.0, "ema_overwrite_frequency": None}
    lazy = Lazy(lambda: [tf.Variable(tf.random.normal([64]))], options)
    seen = lazy.optimizer.variables[1].numpy()
    assert len(set(seen)) > 32
    other = Lazy(lambda: [tf.Variable(seen)], options)
    for found, expected in zip(lazy.arrays(), other.arrays(), strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_under_xla():
    lazy = Lazy(lambda: [tf.Variable(ramp(100))], jit_compile=True)
    expected = Lazy(lambda: [tf.Variable(ramp(100))], {"native": False})
    for found, one in zip(lazy.arrays(), expected.arrays(), strict=True):
        numpy.testing.assert_allclose(found, one, rtol=1e-6, atol=1e-6)


@natives
def test_a_value_that_only_the_function_knows(native):
    """TensorFlow cannot compute it beforehand; it runs the graph of the first call then."""
    variables, optimizer = [], RMSprop(**OPTIONS, native=native)

    @tf.function
    def step(start):
        if not variables:
            variables.append(tf.Variable(start))
        optimizer.apply_gradients([(variables[0] * 2, variables[0])])

    for _ in range(STEPS):
        step(tf.constant(ramp(8)))

    found = [one.numpy() for one in (*variables, *optimizer.variables)]
    assert_as_made_before(found, [ramp(8)], native=native)


def test_slots_of_another_type():
    lazy = Lazy(lambda: [tf.Variable(ramp(5))], {"slot_dtype": "float64"})
    assert_as_made_before(lazy.arrays(), [ramp(5)], slot_dtype="float64")


def test_what_a_checkpoint_holds_goes_before(tmp_path):
    w = tf.Variable(ramp(4))
    first = RMSprop(**OPTIONS)
    for _ in range(2):
        first.apply_gradients([(w * 2, w)])
    path = tf.train.Checkpoint(optimizer=first).write(str(tmp_path / "checkpoint"))
    second, made, start = RMSprop(**OPTIONS), [], tf.constant(w.numpy())
    tf.train.Checkpoint(optimizer=second).read(path)

    @tf.function
    def step():
        if not made:
            made.append(tf.Variable(start))
        second.apply_gradients([(made[0] * 2, made[0])])

    for _ in range(3):
        step()
        first.apply_gradients([(w * 2, w)])
    for found, expected in zip([*made, *second.variables], [w, *first.variables], strict=True):
        numpy.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("units", [3, pytest.param(4000, marks=pytest.mark.slow)])
def test_a_model_without_an_input(units):
    """Its layers make their variables while `fit` traces the first step."""
    x, y = numpy.ones((8, 4), numpy.float32), numpy.ones((8, 1), numpy.float32)
    found = []
    for shape in ({}, {"input_shape": (4,)}):
        tf_keras.utils.set_random_seed(0)
        layers = [tf_keras.layers.Dense(units, activation="tanh", **shape), tf_keras.layers.Dense(1)]
        model = tf_keras.Sequential(layers)
        model.compile(RMSprop(**OPTIONS | {"learning_rate": 0.01}), "mse")
        model.fit(x, y, batch_size=2, epochs=2, verbose=0, shuffle=False)
        found.append([one.numpy() for one in (*model.weights, *model.optimizer.variables)])
    for one, other in zip(*found, strict=True):
        runs.assert_bits(one, other)


def test_a_strategy():
    """Its scope makes variables before the function runs, wherever they are written."""
    strategy, made = tf.distribute.OneDeviceStrategy("CPU:0"), []
    with strategy.scope():
        optimizer = RMSprop(**OPTIONS)

    def replica():
        if not made:
            made.append(tf.Variable(ramp(6)))
        optimizer.apply_gradients([(made[0] * 2, made[0])])

    step = tf.function(lambda: strategy.run(replica))
    for _ in range(STEPS):
        step()
    w, other = tf.Variable(ramp(6)), RMSprop(**OPTIONS, native=False)
    for _ in range(STEPS):
        other.apply_gradients([(w * 2, w)])
    for found, expected in zip([*made, *optimizer.variables], [w, *other.variables], strict=True):
        numpy.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)
