"""`jit_compile`: ignored without a GPU, as documented; forced, XLA compiles what our kernels do not do."""

import cases
import numpy
import original
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop


def forced(options, arrays, **arguments):
    optimizer, variables = runs.build(options, arrays, native=False, **arguments)
    optimizer.jit_compile = True
    return optimizer, variables


@pytest.fixture
def compiled(monkeypatch):
    """Whether each function that was made is compiled by XLA."""
    found, function = [], tf.function

    def counted(*arguments, **keywords):
        found.append(keywords.get("jit_compile"))
        return function(*arguments, **keywords)

    monkeypatch.setattr(tf, "function", counted)
    return found


def test_without_a_gpu_it_is_off_and_what_was_asked_for_is_kept():
    assert not tf.config.list_physical_devices("GPU")
    assert tf_keras.optimizers.RMSprop(jit_compile=True).get_config()["jit_compile"] is False
    for asked in (True, False):
        optimizer = RMSprop(jit_compile=asked)
        assert optimizer.jit_compile is False
        assert optimizer.get_config()["jit_compile"] is asked
        assert RMSprop.from_config(optimizer.get_config()).get_config()["jit_compile"] is asked


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_without_a_gpu_nothing_is_compiled(native, compiled):
    optimizer, variables = runs.build({"jit_compile": True}, {"w": numpy.ones(3)}, native=native)
    optimizer.apply_gradients([(tf.ones(3, tf.float64), variables["w"])])
    assert compiled == [False]


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("case", [cases.PAIRWISE[1], cases.PAIRWISE[3], cases.PAIRWISE[6]], ids=str)
@pytest.mark.matrix(1)
def test_forced_it_gives_the_numbers_of_tf_keras(case, way):
    gradients = cases.gradients(60, "float32")
    found = runs.follow(*forced(case.options, cases.variables("float32")), gradients, way)
    # Measured up to 6e-7; XLA contracts products and sums, see test_numbers_traced.py.
    assert max(runs.deviation(found, original.path(case, "float32")).values()) <= 1e-6


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.matrix(1)
def test_forced_it_is_xla_that_runs(way, compiled):
    """And the bits are those of a step within a function that XLA compiles."""
    case, gradients = cases.PAIRWISE[1], cases.gradients(10, "float32")
    outer = runs.follow(*runs.build(case.options, cases.variables("float32")), gradients, "xla")
    before = len(compiled)
    found = runs.follow(*forced(case.options, cases.variables("float32")), gradients, way)
    assert compiled[before:] == [True]
    for slot, named in outer.items():
        for name, rows in named.items():
            runs.assert_bits(found[slot][name], rows)


def test_native_steps_are_not_compiled(compiled):
    optimizer, variables = runs.build({}, {"w": numpy.ones(3)}, native=True)
    optimizer.jit_compile = True
    optimizer.apply_gradients([(tf.ones(3, tf.float64), variables["w"])])
    assert compiled == [False]
    step = tf.function(lambda: optimizer.apply_gradients([(tf.ones(3, tf.float64), variables["w"])]))
    assert runs.native_operations(step) == 1


@pytest.mark.parametrize("way", ["eager", "function"])
def test_forced_with_few_rows(way):
    """Duplicates, none, all."""
    optimizer, variables = forced({"momentum": 0.5}, {"w": numpy.ones((4, 2))})
    dense, expected = forced({"momentum": 0.5}, {"w": numpy.ones((4, 2))})

    def step(rows, values):
        gradient = tf.IndexedSlices(values, rows, tf.constant([4, 2], tf.int64))
        optimizer.apply_gradients([(gradient, variables["w"])])

    specs = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 2], tf.float64)]
    run = step if way == "eager" else tf.function(step, input_signature=specs)
    for rows in ([1, 3, 1], [], [3, 2, 1, 0]):
        values, whole = numpy.ones((len(rows), 2)), numpy.zeros((4, 2))
        numpy.add.at(whole, numpy.array(rows, int), values)
        run(tf.constant(rows, tf.int64), tf.constant(values))
        dense.apply_gradients([(tf.constant(whole), expected["w"])])
    runs.assert_bits(variables["w"].numpy(), expected["w"].numpy())


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize(
    "rate", [schedules.ExponentialDecay(0.5, 1, 0.5), lambda step: 0.5 * 0.5**step], ids=["schedule", "function"]
)
@pytest.mark.matrix(2)
def test_forced_with_a_learning_rate_that_changes(rate, way):
    """It is found outside of what XLA compiles, so that a function of Python will do."""
    optimizer, variables = forced({"learning_rate": rate, "rho": 1.0, "epsilon": 1.0}, {"w": numpy.zeros(3)})
    found = runs.follow(optimizer, variables, {"w": -numpy.ones((3, 3))}, way)
    assert found["variables"]["w"][:, 0].tolist() == [0.5, 0.75, 0.875]


def test_forced_between_eager_steps_it_counts_from_the_next(compiled):
    optimizer, variables = runs.build({"rho": 1.0, "epsilon": 1.0}, {"w": numpy.zeros(3)}, native=False)
    for force in (False, True, False, True):
        optimizer.jit_compile = force
        optimizer.apply_gradients([(-tf.ones(3, tf.float64), variables["w"])])
    assert compiled == [False, True]  # the third and fourth step find the functions of the first and second
    numpy.testing.assert_allclose(variables["w"].numpy(), 4 * optimizer.learning_rate.numpy(), rtol=1e-12)
