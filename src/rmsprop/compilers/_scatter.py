"""Numbers that do not lie side by side: gathered into scratch memory and returned.

`layouts` is an int64 table with a row a tensor: the number of dimensions, then, padded to the same width `MAX_DIMS`
each, the shape, the variable's strides and the gradient's strides in bytes (negative ones too). Elements are
numbered in row-major order.

`rows` is an int64 table with a row a tensor: where a sparse gradient's row numbers begin in `numbers`, how many there
are (-1: the gradient is dense), and how many elements a row holds. The row numbers of one tensor ascend.
"""

import numba

from rmsprop.compilers._memory import advance, load, pointer, store

_jit = numba.njit(error_model="numpy", nogil=True)


@_jit
def _place(number, layout, strides):
    """Give the byte offset of an element; `strides` is 1 for the variable's, 2 for the gradient's."""
    width = (layout.size - 1) // 3
    offset = 0
    for axis in range(layout[0], 0, -1):
        length = layout[axis]
        offset += number % length * layout[strides * width + axis]
        number //= length
    return offset


@_jit
def _run(number, remaining, layout):
    """Give how many elements from `number` on follow each other along the last axis."""
    length = layout[layout[0]]
    return min(remaining, length - number % length)


@_jit
def gather(scratch, count, start, address, storage, compute, layout, strides):
    """Copy elements `start` to ``start + count`` to scratch memory."""
    stride = layout[strides * ((layout.size - 1) // 3) + layout[0]]
    done = 0
    while done < count:
        source = address + _place(start + done, layout, strides)
        run = _run(start + done, count - done, layout)
        for i in range(run):
            store(scratch, done + i, load(pointer(source + i * stride, storage, compute, "outside"), 0))
        done += run


@_jit
def scatter(scratch, count, start, address, storage, compute, layout, strides):
    """Copy scratch memory to elements `start` to ``start + count``."""
    stride = layout[strides * ((layout.size - 1) // 3) + layout[0]]
    done = 0
    while done < count:
        target = address + _place(start + done, layout, strides)
        run = _run(start + done, count - done, layout)
        for i in range(run):
            store(pointer(target + i * stride, storage, compute, "outside"), 0, load(scratch, done + i))
        done += run


@_jit
def gather_rows(scratch, count, start, address, storage, compute, rows, numbers):
    """Fill scratch memory with elements `start` to ``start + count`` of a sparse gradient: its rows, and zeros."""
    for i in range(count):
        store(scratch, i, 0.0)
    first, many, length = rows[0], rows[1], rows[2]
    if length == 0:
        return
    # The first row that reaches into the part, by bisection.
    row, end = first, first + many
    while row < end:
        middle = (row + end) // 2
        if numbers[middle] < start // length:
            row = middle + 1
        else:
            end = middle
    while row < first + many and numbers[row] * length < start + count:
        place = numbers[row] * length - start
        source = advance(pointer(address, storage, compute, "outside"), (row - first) * length)
        for i in range(max(0, -place), min(length, count - place)):
            store(scratch, place + i, load(source, i))
        row += 1
