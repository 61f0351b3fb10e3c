"""How gradients lie in memory, and the tables that say so to a kernel.

The tables are those of `rmsprop.compilers._scatter`. A step numbers a tensor's elements as they lie in the variable, a
norm in row-major order.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from rmsprop._core.arrays import Array, memory_order, merge_axes
from rmsprop._core.rows import RowSparse

#: How a gradient lies: contiguous like its variable, on its variable's own memory, as rows, else its strides.
FLAT: Final = "flat"
ITSELF: Final = "itself"
ROWS: Final = "rows"

#: The number of a variable, how its gradient lies, and how that is stored.
Kind = tuple[int, str | tuple[int, ...], numpy.dtype[Any]]

Gradients = Sequence[Array | RowSparse]


def step_layouts(variables: Sequence[Array], kinds: Sequence[Kind]) -> NDArray[numpy.int64]:
    """Write down shapes and strides for a step: the axes in the variable's order, in which its state is contiguous."""
    rows = []
    for variable, (_, lie, _) in zip(variables, kinds, strict=True):
        order = memory_order(variable)
        strides = lie if isinstance(lie, tuple) else variable.strides
        rows.append([[one[axis] for axis in order] for one in (variable.shape, variable.strides, strides)])
    return _table(rows)


def norm_layouts(variables: Sequence[Array], kinds: Sequence[Kind]) -> NDArray[numpy.int64]:
    """Write down shapes and strides for norms: the axes as they are."""
    rows = []
    for variable, (_, lie, _) in zip(variables, kinds, strict=True):
        strides = lie if isinstance(lie, tuple) else variable.strides
        rows.append([variable.shape, strides, strides])
    return _table(rows)


def dense_layouts(shapes: Sequence[tuple[int, ...]], itemsize: int) -> NDArray[numpy.int64]:
    """Write down shapes and strides of variables in C order, for a step or for norms."""
    rows = []
    for shape in shapes:
        strides = [itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        rows.append([shape, strides, strides])
    return _table(rows)


def _table(rows: Iterable[Sequence[Sequence[int]]]) -> NDArray[numpy.int64]:
    merged = [merge_axes(*row) for row in rows]
    width = max(len(lengths) for lengths, _ in merged)
    table = numpy.zeros((len(merged), 1 + 3 * width), numpy.int64)
    for row, (lengths, strides) in zip(table, merged, strict=True):
        row[0] = len(lengths)
        for part, numbers in enumerate((lengths, *strides)):
            row[1 + part * width : 1 + part * width + len(numbers)] = numbers
    return table


def row_tables(gradients: Sequence[Array | RowSparse]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Write down which rows the sparse gradients have; see `rmsprop.compilers._scatter`."""
    rows = numpy.full((len(gradients), 3), -1, numpy.int64)
    numbers = [numpy.empty(0, numpy.int64)]
    begin = 0
    for row, gradient in zip(rows, gradients, strict=True):
        if isinstance(gradient, RowSparse):
            row[:] = begin, gradient.indices.size, math.prod(gradient.shape[1:])
            numbers.append(gradient.indices)
            begin += gradient.indices.size
    return rows, numpy.concatenate(numbers)
