"""Numba compiles the rule, for every set of options, to the bits that it has on plain arrays."""

import numba
import numpy
import pytest
import rules

from rmsprop._core import rule
from rmsprop._core.cpu import step

_update = numba.njit(error_model="numpy")(step.update.py_func)


@numba.njit(error_model="numpy")
def update(arguments):
    """Call the rule with the arguments of a tuple, of which any may be None."""
    return _update(*arguments)


@pytest.mark.parametrize("on", rules.VARIANTS)
@pytest.mark.matrix
def test_bits_equal_plain_arrays(on):
    given = rules.arguments(on)
    arrays = {name: value for name, value in given.items() if isinstance(value, numpy.ndarray)}
    rows = []
    for i in range(64):
        element = given | {name: array[i] for name, array in arrays.items()}
        rows.append(update(tuple(element.values())))
    for found, wanted in zip(zip(*rows, strict=True), rules.expected(on), strict=True):
        numpy.testing.assert_array_equal(numpy.array(found, numpy.float32), wanted)


def test_the_rule_that_is_compiled_is_the_rule():
    assert step.update.py_func.__code__ is rule.update.__code__
