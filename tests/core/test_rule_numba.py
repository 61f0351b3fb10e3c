"""Numba compiles the rule, for every set of options, to the bits that it has on plain arrays."""

import numpy
import pytest
import rules

from rmsprop._core import rule
from rmsprop.compilers import _kernels


@pytest.mark.parametrize("on", rules.VARIANTS)
@pytest.mark.matrix
def test_bits_equal_plain_arrays(on):
    given = rules.arguments(on)
    arrays = {name: value for name, value in given.items() if isinstance(value, numpy.ndarray)}
    rows = []
    for i in range(64):
        element = given | {name: array[i] for name, array in arrays.items()}
        rows.append(_kernels._update(*element.values()))
    for found, wanted in zip(zip(*rows, strict=True), rules.expected(on), strict=True):
        numpy.testing.assert_array_equal(numpy.array(found, numpy.float32), wanted)


def test_the_rule_that_is_compiled_is_the_rule():
    assert _kernels._update.py_func.__code__ is rule.update.__code__
