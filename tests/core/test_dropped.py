"""What is dropped goes at once, without waiting for the garbage collector."""

import gc
from weakref import ref

import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop import RMSprop, RowSparse


def train(options):
    """Give weak references to everything that a dropped optimizer has had."""
    arrays = {"flat": numbers((40, 3)), "double": numbers(5, numpy.float64), "turned": numbers((3, 4)).T}
    optimizer = RMSprop(**options)
    optimizer.build(arrays)
    for step in range(3):
        given = {name: numbers(array.shape, array.dtype, step) for name, array in arrays.items()}
        if step == 1:
            given["flat"] = RowSparse([3, 1, 3], numbers((3, 3)), (40, 3))
        optimizer.apply_gradients((gradient, arrays[name]) for name, gradient in given.items())
    return [ref(one) for one in (optimizer, *arrays.values())]


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"clipnorm": 0.5, "jit_compile": False}], ids=str)
def test_a_dropped_optimizer(options):
    train(options)  # what only a process's first does is done
    gc.collect()
    gc.disable()
    try:
        assert [one() for one in train(options)] == [None] * 4
        assert gc.collect() == 0
    finally:
        gc.enable()
