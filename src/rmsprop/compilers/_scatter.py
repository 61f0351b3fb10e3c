"""Numbers that do not lie side by side: gathered into scratch memory and returned.

`layouts` is an int64 table with a row a tensor: the number of axes, then, each padded to the same width, the lengths of
the axes, the variable's strides and the gradient's strides in bytes (negative ones too). Elements are numbered with the
last axis running fastest; which axis is the last is the caller's choice (`rmsprop.engines._kinds`).

`rows` is an int64 table with a row a tensor: where a sparse gradient's row numbers begin in `numbers`, how many there
are (-1: the gradient is dense), and how many elements a row holds. The row numbers of one tensor ascend.
"""

import numba

from rmsprop._core.cpu.memory import advance, itemsize, load, pointer, store

#: Columns of a matrix in Fortran order that are read together: few enough for the first-level cache.
_COLUMNS = 32

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
def _copy(scratch, i, outside, j, back):
    """Copy one number to scratch memory, or back."""
    if back is None:
        store(scratch, i, load(outside, j))
    else:
        store(outside, j, load(scratch, i))


@_jit
def move(scratch, count, start, address, storage, compute, layout, strides, back):
    """Copy elements `start` to ``start + count`` to scratch memory; with `back` not None, from there to them."""
    axes, width = layout[0], (layout.size - 1) // 3
    length, step = layout[axes], layout[strides * width + axes]
    done = 0
    while done < count:
        number = start + done
        place = address + _place(number, layout, strides)
        column = number % length
        if column == 0 and axes > 1:
            row = layout[strides * width + axes - 1]
            rows = min(layout[axes - 1] - number // length % layout[axes - 1], (count - done) // length)
            # Rows lie closer than columns, as in Fortran order: some columns at a time, so that a cache line that is
            # fetched for one row still is there for the next.
            if rows > 1 and abs(row) < abs(step):
                for first in range(0, length, _COLUMNS):
                    for i in range(rows):
                        for j in range(first, min(first + _COLUMNS, length)):
                            one = pointer(place + i * row + j * step, storage, compute, "outside")
                            _copy(scratch, done + i * length + j, one, 0, back)
                done += rows * length
                continue
        run = min(count - done, length - column)
        outside = pointer(place, storage, compute, "outside")
        if step == itemsize(outside):
            for i in range(run):
                _copy(scratch, done + i, outside, i, back)
        else:
            for i in range(run):
                _copy(scratch, done + i, pointer(place + i * step, storage, compute, "outside"), 0, back)
        done += run


@_jit
def first_row(start, rows, numbers):
    """Find the first row of a sparse gradient that reaches beyond element `start`, by bisection."""
    row, end, length = rows[0], rows[0] + rows[1], max(1, rows[2])
    while row < end:
        middle = (row + end) // 2
        if numbers[middle] < start // length:
            row = middle + 1
        else:
            end = middle
    return row


@_jit
def reaches(count, start, rows, numbers):
    """Whether a sparse gradient has numbers among elements `start` to ``start + count``; all others are 0."""
    row = first_row(start, rows, numbers)
    return row < rows[0] + rows[1] and numbers[row] * rows[2] < start + count


@_jit
def gather_rows(scratch, count, start, address, storage, compute, rows, numbers):
    """Fill scratch memory with elements `start` to ``start + count`` of a sparse gradient: its rows, and zeros."""
    for i in range(count):
        store(scratch, i, 0.0)
    first, many, length = rows[0], rows[1], rows[2]
    if length == 0:
        return
    row = first_row(start, rows, numbers)
    while row < first + many and numbers[row] * length < start + count:
        place = numbers[row] * length - start
        source = advance(pointer(address, storage, compute, "outside"), (row - first) * length)
        for i in range(max(0, -place), min(length, count - place)):
            store(scratch, place + i, load(source, i))
        row += 1
