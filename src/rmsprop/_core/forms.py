"""A gradient of the right shape and type in a form that a kernel reads, and how a kernel finds its numbers.

A step numbers a tensor's elements by the variable's order in memory, a norm in row-major order.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy

from rmsprop._core.arrays import Array, MemoryMap, address, memory_order, merge_axes, span
from rmsprop._core.plan import Form, Layout
from rmsprop._core.rows import RowSparse

#: How a gradient is in memory: contiguous like its variable, in its variable's own memory, as rows; else its strides.
FLAT: Final = "flat"
ITSELF: Final = "itself"
ROWS: Final = "rows"

#: The number of a variable, how its gradient is in memory, and the gradient's type.
Kind = tuple[int, str | tuple[int, ...], numpy.dtype[Any]]

Gradient = Array | RowSparse


def to_kernel_form(index: int, variable: Array, gradient: Gradient, memory: MemoryMap) -> tuple[Kind, Gradient]:
    """Return a gradient's kind, and the gradient, copied where it must be.

    Args:
        index: number of the variable.
        variable: its array.
        gradient: of the variable's shape.
        memory: what the step writes to.
    """
    if isinstance(gradient, RowSparse):
        rows, values = gradient.coalesce()
        if memory_order(variable) != tuple(range(variable.ndim)):
            dense = RowSparse(rows, values, gradient.shape).to_dense()
            return to_kernel_form(index, variable, dense, memory)
        rows, values = (one.copy() if memory.touches(*span(one)) else one for one in (rows, values))
        return (index, ROWS, values.dtype), RowSparse(numpy.ascontiguousarray(rows), values, gradient.shape)
    if not gradient.dtype.isnative:
        gradient = gradient.astype(gradient.dtype.newbyteorder("="))
    if memory.touches(*span(gradient)):
        same = address(gradient) == address(variable) and gradient.strides == variable.strides
        if same and gradient.dtype == variable.dtype:
            return (index, ITSELF, gradient.dtype), gradient
        # A step would write to its memory before all of it is read.
        gradient = gradient.copy()
    if variable.flags.c_contiguous and gradient.flags.c_contiguous:
        return (index, FLAT, gradient.dtype), gradient
    return (index, gradient.strides, gradient.dtype), gradient


def kind_of_variable(index: int, variable: Array) -> Kind:
    """Return the kind of a gradient with its variable's type and strides."""
    return index, FLAT if variable.flags.c_contiguous else variable.strides, variable.dtype


def step_form(variable: Array, kind: Kind) -> tuple[Form, Layout | tuple[()]]:
    """Return how a step finds a tensor's numbers: the axes in the variable's order, as those of its slots."""
    _, found, dtype = kind
    if found == ROWS and variable.flags.c_contiguous:
        return "rows", ()
    order = memory_order(variable)
    has_no_gaps = variable.transpose(order).flags.c_contiguous
    if found == FLAT or (found == variable.strides and dtype.itemsize == variable.itemsize and has_no_gaps):
        return "flat", ()
    strides = found if isinstance(found, tuple) else variable.strides
    return "gathered", _layout(*([one[axis] for axis in order] for one in (variable.shape, variable.strides, strides)))


def norm_form(variable: Array, kind: Kind) -> tuple[Form, Layout | tuple[()]]:
    """Return how a norm finds a gradient's numbers: the axes as they are."""
    found = kind[1]
    if found == FLAT or (found == ITSELF and variable.flags.c_contiguous):
        return "flat", ()
    if found == ROWS:
        return "rows", ()
    strides = found if isinstance(found, tuple) else variable.strides
    return "gathered", _layout(variable.shape, strides, strides)


def row_size(shape: Sequence[int], kind: Kind) -> int:
    """Return how many numbers a row of a sparse gradient has; -1 for a dense one."""
    return math.prod(shape[1:]) if kind[1] == ROWS else -1


def _layout(shape: Sequence[int], *strides: Sequence[int]) -> Layout:
    lengths, steps = merge_axes(shape, *strides)
    return tuple(lengths), tuple(steps[0]), tuple(steps[1])
