"""Numbers that are not contiguous: gathered into scratch memory, and scattered back.

A layout is the address of int64 words: the number of axes, the lengths of the axes, the variable's strides and the
gradient's strides in bytes (negative ones too). Elements are numbered with the last axis running fastest; the caller
chooses the order of the axes (`rmsprop._core.forms`).

The rows of a sparse gradient are contiguous; the ascending numbers of these rows are int64 words.
"""

from rmsprop._core.cpu.memory import advance, itemsize, load, pointer, store
from rmsprop._core.cpu.target import part
from rmsprop._core.cpu.words import greater, less, read

#: Columns of a matrix in Fortran order that are read together: few enough for the first-level cache.
_COLUMNS = 32

#: Which strides of a layout: the variable's, or the gradient's.
VARIABLE, GRADIENT = 1, 2


@part
def move(scratch, count, start, address, storage, compute, layout, which, back):
    """Copy elements `start` to ``start + count`` to scratch memory; with `back` not None, from there to them."""
    axes = read(layout, 0)
    strides = layout + 8 * axes * which
    length, step = read(layout, axes), read(strides, axes)
    done = 0
    while done < count:
        number = start + done
        place, rest = address, number
        for axis in range(axes, 0, -1):
            place += rest % read(layout, axis) * read(strides, axis)
            rest //= read(layout, axis)
        column = number % length
        height, width, row = 1, less(count - done, length - column), 0
        if column == 0 and axes > 1:
            row = read(strides, axes - 1)
            lines = read(layout, axes - 1)
            lines = less(lines - number // length % lines, (count - done) // length)
            # Rows are closer than columns, as in Fortran order: a few columns at a time, so that the cache line of one
            # row is still in the cache for the next.
            if lines > 1 and abs(row) < abs(step):
                height, width = lines, length
        block = _COLUMNS if height > 1 else width
        for first in range(0, width, block):
            size = less(block, width - first)
            for i in range(height):
                source = place + i * row + first * step
                target = advance(scratch, done + i * length + first)
                outside = pointer(source, storage, compute, "outside")
                if step == itemsize(outside):
                    for j in range(size):
                        if back is None:
                            store(target, j, load(outside, j))
                        else:
                            store(outside, j, load(target, j))
                else:
                    for j in range(size):
                        one = pointer(source + j * step, storage, compute, "outside")
                        if back is None:
                            store(target, j, load(one, 0))
                        else:
                            store(one, 0, load(target, j))
        done += height * width


@part
def first_row(start, many, length, numbers):
    """Find the first row of a sparse gradient that reaches beyond element `start`, by bisection."""
    row, end = 0, many
    while row < end:
        middle = (row + end) // 2
        if read(numbers, middle) < start // length:
            row = middle + 1
        else:
            end = middle
    return row


@part
def gather_rows(scratch, count, start, address, storage, compute, many, length, numbers):
    """Fill scratch memory with elements `start` to ``start + count`` of a sparse gradient: its rows, and zeros.

    Return False, and fill nothing, if no row has any of these elements.
    """
    if length == 0:
        return False
    row = first_row(start, many, length, numbers)
    if row >= many or read(numbers, row) * length >= start + count:
        return False
    for i in range(count):
        store(scratch, i, 0.0)
    while row < many and read(numbers, row) * length < start + count:
        place = read(numbers, row) * length - start
        source = advance(pointer(address, storage, compute, "outside"), row * length)
        for i in range(greater(0, -place), less(length, count - place)):
            store(scratch, place + i, load(source, i))
        row += 1
    return True
