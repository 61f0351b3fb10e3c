"""Subnormal numbers: the same bits on a thread that takes them for zero, and its mode is as before at the end."""

import threading

import numpy
import pytest
from arrays import EVERYTHING, TYPES, numbers
from modes import flushed, flushing, x86_linux

from rmsprop import RMSprop, RowSparse

pytestmark = x86_linux

#: The smallest normal number of each type that is computed in.
SMALLEST = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


def small(shape, dtype, seed, power=1.0):
    """Numbers of which many are subnormal, or have subnormal squares."""
    scale = SMALLEST[numpy.dtype(dtype).name] ** power
    random = numpy.random.default_rng(seed)
    return (random.normal(size=shape) * random.choice([scale, scale * 2.0**4], shape)).astype(dtype)


def data(dtype, steps=4, size=40):
    """Variables and the gradients of some steps, near the smallest numbers: flat, transposed, and of a few rows."""
    variables = {
        "flat": small(size, dtype, 1),
        "lying": numpy.asfortranarray(small((4, size), dtype, 2)),
        "table": small((size, 3), dtype, 3),
    }
    gradients = [
        {
            "flat": small(size, dtype, 40 + step, 0.5),
            "lying": small((4, size), dtype, 50 + step, 0.5),
            "table": RowSparse([7, 0, 7], small((3, 3), dtype, 60 + step, 0.5), (size, 3)),
        }
        for step in range(steps)
    ]
    return variables, gradients


def run(variables, gradients, options):
    """Give variables and state after the steps."""
    variables = {name: w.copy("K") for name, w in variables.items()}
    optimizer = RMSprop(**options)
    for given in gradients:
        optimizer.minimize(lambda given=given: (0, {name: given[name] for name in variables}), variables)
    optimizer.finalize_variable_values()
    return variables | {name: array for name, array in optimizer.variables.items() if name != "iterations"}


def check(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        (EVERYTHING, numpy.float32),
        *(({"momentum": 0.5}, dtype) for dtype in TYPES),
        ({"clipnorm": 1e-40}, numpy.float64),
        ({"slot_dtype": "float32", "use_ema": True}, numpy.float64),
    ],
    ids=str,
)
def test_a_flushing_thread_makes_the_same_bits(options, dtype, jit_compile):
    # Scalars are subnormal, too; here, because it is part of the test to make none on a thread that flushes.
    tiny = SMALLEST["float64" if dtype == numpy.float64 else "float32"]
    options = options | {"learning_rate": tiny / 8, "epsilon": tiny / 4, "jit_compile": jit_compile}
    variables, gradients = data(dtype)
    if options["jit_compile"] and "weight_decay" not in options:
        variables = {"flat": variables["flat"]}  # each of the others is one more kernel to compile
    expected = run(variables, gradients, options)
    for bits in (0x8000, 0x8040, 0x8040 | 0x6000):  # results, operands too, and rounding towards zero
        with flushing(bits):
            found = run(variables, gradients, options)
        check(found, expected)


def test_subnormal_numbers_are_kept():
    with flushing():
        w = numpy.zeros(3, numpy.float32)
        optimizer = RMSprop(1.0, epsilon=0.0)
        optimizer.apply_gradients([(numpy.full(3, 1e-19, numpy.float32), w)])
        bits = optimizer.variables["velocity/0"].view(numpy.int32).copy()
    expected = numpy.float32(1e-19) * numpy.float32(1e-19) * numpy.float32(1 - 0.9)
    assert 0 < expected < SMALLEST["float32"]
    assert (bits == expected.view(numpy.int32)).all()


def test_helpers_that_a_flushing_thread_started(monkeypatch):
    """They are as that thread is."""
    monkeypatch.setenv("RMSPROP_NUM_THREADS", "2")
    size = 16384 * 64
    gradient = numpy.full(size, 1e-19, numpy.float32)
    with flushing():
        for _ in range(3):
            w, optimizer = numpy.zeros(size, numpy.float32), RMSprop(1.0, epsilon=0.0)
            optimizer.apply_gradients([(gradient, w)])
            bits = optimizer.variables["velocity/0"].view(numpy.int32)
            assert bits[0] != 0
            assert (bits == bits[0]).all()
    assert any(thread.name == "rmsprop" for thread in threading.enumerate())


def test_a_refused_step_restores_the_mode():
    w = numbers(3)
    with flushing():
        optimizer = RMSprop()
        optimizer.apply_gradients([(numbers(3), w)])
        assert flushed()
        with pytest.raises(ValueError, match="shape"):
            optimizer.apply_gradients([(numbers(4), w)])
        assert flushed()
        optimizer.learning_rate = 1e39
        with pytest.raises(RuntimeWarning):
            optimizer.apply_gradients([(numbers(3), w)])
        assert flushed()
