"""The native step and the NumPy front end run the same kernels: their bits are the same, in every type."""

import cases
import ml_dtypes
import numpy
import original
import ours
import pytest
import runs

STEPS = 100
TYPES = {"float16": numpy.float16, "bfloat16": ml_dtypes.bfloat16, "float32": numpy.float32, "float64": numpy.float64}
HALVES = {name: TYPES[name] for name in ("float16", "bfloat16")}


def check(case, dtype):
    """Variables and state after each step of a case; in the wide types those that are compared with tf_keras, too."""
    steps = STEPS if dtype in HALVES else original.STEPS
    assert_bits(runs.path(case, dtype, steps, native=True), ours.path(case.options, TYPES[dtype], steps))


def assert_same(options, dtype):
    """Variables and state after each step; the table's learning rates and decays are float32 numbers."""
    optimizer, variables = runs.build(options, cases.variables(dtype), native=True)
    found = runs.follow(optimizer, variables, cases.gradients(STEPS, dtype), "function")
    assert_bits(found, ours.path(options, dtype, STEPS))


def assert_bits(found, expected):
    assert found.keys() == expected.keys()
    for slot, named in expected.items():
        for name, rows in named.items():
            runs.assert_bits(found[slot][name], rows)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(5)
def test_bits(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("case", cases.EXTREMES, ids=str)
@pytest.mark.matrix(6)
def test_bits_at_the_ends_of_the_ranges(case):
    check(case, "float32")


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("desc", ["plain", "momentum-centered-decay-global_clipnorm-ema7"])
def test_bits_with_state_in_another_type(desc, dtype):
    """The state of half variables in float32, from an average of squares that starts at 1."""
    options = next(case.options for case in cases.COMBINATIONS if case.desc == desc)
    assert_same({**options, "slot_dtype": "float32", "initial_velocity": 1.0}, HALVES[dtype])


def test_bits_of_float32_variables_with_double_state():
    assert_same({"learning_rate": 2.0**-7, "momentum": 0.9, "slot_dtype": "float64"}, numpy.float32)


def test_bits_of_gradients_of_another_type():
    """Half gradients of float32 variables, as a policy of mixed precision may give them, are widened exactly."""
    import tensorflow as tf

    gradients = numpy.random.default_rng(0).normal(size=(10, 1000)).astype(numpy.float16)
    w = numpy.linspace(-1, 1, 1000, dtype=numpy.float32)
    optimizer, variables = runs.build({"global_clipnorm": 2.0, "learning_rate": 2.0**-7}, {"w": w}, native=True)
    plain = ours.build({"global_clipnorm": 2.0, "learning_rate": 2.0**-7}, {"w": w})
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variables["w"])])
        plain.apply_gradients([(gradient, w)])
    runs.assert_bits(variables["w"].numpy(), w)
