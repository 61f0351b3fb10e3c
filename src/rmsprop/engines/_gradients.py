"""A gradient that has the right shape and type, brought into a form that a kernel reads."""

from rmsprop._core.arrays import Array, MemoryMap, address, memory_order, packed_address, span
from rmsprop._core.rows import RowSparse
from rmsprop.engines._kinds import FLAT, ITSELF, ROWS, Kind


def admit(
    index: int, variable: Array, gradient: Array | RowSparse, memory: MemoryMap
) -> tuple[Kind, Array | RowSparse]:
    """Tell how a gradient lies; it is copied where it must be.

    Args:
        index: number of the variable.
        variable: its array.
        gradient: of the variable's shape.
        memory: what the step writes to.
    """
    if isinstance(gradient, RowSparse):
        rows, values = gradient.coalesce()
        if memory_order(variable) != tuple(range(variable.ndim)):
            return admit(index, variable, RowSparse(rows, values, gradient.shape).to_dense(), memory)
        if memory.touches(*span(values)):
            values = values.copy()
        return (index, ROWS, values.dtype), RowSparse(rows, values, gradient.shape)
    if not gradient.dtype.isnative:
        gradient = gradient.astype(gradient.dtype.newbyteorder("="))
    if memory.touches(*span(gradient)):
        if _lies_on(gradient, variable):
            return (index, ITSELF, gradient.dtype), gradient
        # A step would write to its memory before all of it is read.
        gradient = gradient.copy()
    if variable.flags.c_contiguous and gradient.flags.c_contiguous:
        return (index, FLAT, gradient.dtype), gradient
    return (index, gradient.strides, gradient.dtype), gradient


def start_of(kind: Kind, gradient: Array | RowSparse) -> int:
    """Give the address of the numbers of a gradient that was admitted."""
    _, lie, dtype = kind
    if isinstance(gradient, RowSparse):
        assert lie == ROWS
        return packed_address(gradient.values, dtype)
    return packed_address(gradient, dtype) if lie == FLAT else address(gradient)


def _lies_on(gradient: Array, variable: Array) -> bool:
    same = address(gradient) == address(variable) and gradient.strides == variable.strides
    return same and gradient.dtype == variable.dtype
