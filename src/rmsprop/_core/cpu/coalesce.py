"""Rows of a sparse gradient in compiled code: checked, put in order, and summed where a number repeats.

The bits are those of `rmsprop._core.rows.RowSparse.coalesce`: the second row of a number and those after it are summed
pairwise, as NumPy sums, and added to the first.
"""

from typing import Any, Final

import numpy

from rmsprop._core.cpu.memory import load, pointer, storage_tag, store
from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import call_word, read, read_int, write

#: What is asked: addresses of the row numbers and of the rows, how many there are, the bytes of a row number, how many
#: rows the variable has, numbers of a row, bytes of a number in a sum, the function that sums rows of this type,
#: whether rows are summed even if none repeats, and C's `malloc`. Then what is found: the first block of memory, which
#: points to the next, a row number that is not there, and addresses and number of what was found.
REQUEST: Final = (
    "numbers", "values", "count", "number_bytes", "limit", "width", "itemsize", "sum", "always", "malloc",
    "blocks", "outside", "order", "firsts", "rows", "row_values", "row_count",
)  # fmt: skip
(
    _NUMBERS, _VALUES, _COUNT, _NUMBER_BYTES, _LIMIT, _WIDTH, _ITEMSIZE, _SUM, _ALWAYS, _MALLOC,
    _BLOCKS, _OUTSIDE, _ORDER, _FIRSTS, _ROWS, _ROW_VALUES, _ROW_COUNT,
) = range(len(REQUEST))  # fmt: skip
REQUEST_BYTES: Final = 8 * len(REQUEST)

#: What `coalesce` returns.
FOUND, NO_ROW, NO_MEMORY = 0, 1, 2

#: The digits by which row numbers are sorted have this many bits.
_BITS: Final = 8
_DIGITS: Final = 1 << _BITS

#: So many numbers are summed in lanes, number i in lane i % _LANES; more are halved until they are so few.
_BLOCK: Final = 128
_LANES: Final = 8

#: As often may numbers be halved before they are so few: each half waits with its begin and its count, and its sum then
#: waits for that of the other half.
_HALVES: Final = 64
_WAITING: Final = 3 * _HALVES


@jit
def _allocate(request, size):
    """Return memory of so many bytes, which is freed with the blocks of a request; 0 if there is none."""
    start = call_word(read(request, _MALLOC), size + 8)
    if start == 0:
        return 0
    write(start, 0, read(request, _BLOCKS))
    write(request, _BLOCKS, start)
    return start + 8


@jit
def _copy_numbers(request, keys, order):
    """Write the row numbers and their places; return 1 if they ascend, 0 if not, -1 if one is not a row."""
    numbers, wide = read(request, _NUMBERS), read(request, _NUMBER_BYTES) == 8
    ascending, last, place = 1, -1, 0
    while place < read(request, _COUNT):
        key = read(numbers, place) if wide else read_int(numbers + 4 * place)
        if key < 0 or key >= read(request, _LIMIT):
            write(request, _OUTSIDE, key)
            return -1
        if key <= last:
            ascending = 0
        write(keys, place, key)
        write(order, place, place)
        last = key
        place += 1
    return ascending


@jit
def _sort_by_digit(keys, order, new_keys, new_order, count, shift, begins):
    """Sort by one digit of the keys; what has the same digit stays in its order."""
    digit = 0
    while digit < _DIGITS:
        write(begins, digit, 0)
        digit += 1
    place = 0
    while place < count:
        digit = (read(keys, place) >> shift) & (_DIGITS - 1)
        write(begins, digit, read(begins, digit) + 1)
        place += 1
    digit, begin = 0, 0
    while digit < _DIGITS:
        size = read(begins, digit)
        write(begins, digit, begin)
        begin += size
        digit += 1
    place = 0
    while place < count:
        key = read(keys, place)
        digit = (key >> shift) & (_DIGITS - 1)
        target = read(begins, digit)
        write(begins, digit, target + 1)
        write(new_keys, target, key)
        write(new_order, target, read(order, place))
        place += 1


@jit
def _find_firsts(keys, firsts, count):
    """Keep each of the sorted keys once, and write where it occurs first; return how many there are."""
    found, place, last = 0, 0, -1
    while place < count:
        key = read(keys, place)
        if key != last:
            write(keys, found, key)
            write(firsts, found, place)
            found += 1
        last = key
        place += 1
    write(firsts, found, count)
    return found


def coalesce(request):
    """Find the row numbers in ascending order, each once, and the sum of the rows of each; see `REQUEST`.

    Returns:
        `FOUND`; `NO_ROW`, "outside" then holds the number; or `NO_MEMORY`. Whoever asks frees the "blocks".
    """
    count = read(request, _COUNT)
    memory = _allocate(request, 8 * (5 * count + 1 + _DIGITS + _WAITING))
    if memory == 0:
        return NO_MEMORY
    keys, order = memory, memory + 8 * count
    firsts, begins = order + 8 * count, order + 8 * (2 * count + 1)
    new_keys = begins + 8 * (_DIGITS + _WAITING)
    new_order = new_keys + 8 * count
    ascending = _copy_numbers(request, keys, order)
    if ascending < 0:
        return NO_ROW
    if ascending and not read(request, _ALWAYS):
        write(request, _ROWS, keys)
        write(request, _ROW_VALUES, read(request, _VALUES))
        write(request, _ROW_COUNT, count)
        return FOUND
    shift = 0
    while not ascending and (read(request, _LIMIT) - 1) >> shift > 0:
        _sort_by_digit(keys, order, new_keys, new_order, count, shift, begins)
        keys, new_keys = new_keys, keys
        order, new_order = new_order, order
        shift += _BITS
    rows = _find_firsts(keys, firsts, count)
    sums = _allocate(request, rows * read(request, _WIDTH) * read(request, _ITEMSIZE))
    if sums == 0:
        return NO_MEMORY
    write(request, _ORDER, order)
    write(request, _FIRSTS, firsts)
    write(request, _ROWS, keys)
    write(request, _ROW_VALUES, sums)
    write(request, _ROW_COUNT, rows)
    call_word(read(request, _SUM), request)
    return FOUND


def make(stored: numpy.dtype[Any], compute: numpy.dtype[Any]) -> Any:
    """Return a function that sums the rows of a request; it returns 0.

    Args:
        stored: type of the rows.
        compute: type of the sums.
    """
    storage, zero = storage_tag(stored), compute.type(-0.0)

    @jit
    def value(values, order, place, width, column):
        return load(values, read(order, place) * width + column)

    @jit
    def sum_lane(values, order, place, end, width, column):
        total = value(values, order, place, width, column)
        place += _LANES
        while place < end:
            total += value(values, order, place, width, column)
            place += _LANES
        return total

    @jit
    def sum_block(values, order, begin, count, width, column):
        """Sum a few numbers one after the other, more in eight lanes."""
        total, place = zero, begin
        if count >= _LANES:
            place += count - count % _LANES
            a = sum_lane(values, order, begin, place, width, column)
            b = sum_lane(values, order, begin + 1, place, width, column)
            c = sum_lane(values, order, begin + 2, place, width, column)
            d = sum_lane(values, order, begin + 3, place, width, column)
            e = sum_lane(values, order, begin + 4, place, width, column)
            f = sum_lane(values, order, begin + 5, place, width, column)
            g = sum_lane(values, order, begin + 6, place, width, column)
            h = sum_lane(values, order, begin + 7, place, width, column)
            total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        while place < begin + count:
            total += value(values, order, place, width, column)
            place += 1
        return total

    @jit
    def sum_pairwise(values, order, begin, count, width, column, waiting, sums):
        """Sum halves before wholes: what is left to do waits, and sums that are found wait for their other half."""
        todo, found = 1, 0
        write(waiting, 0, begin)
        write(waiting, 1, count)
        while todo > 0:
            todo -= 1
            begin, count = read(waiting, 2 * todo), read(waiting, 2 * todo + 1)
            if count < 0:
                found -= 1
                store(sums, found - 1, load(sums, found - 1) + load(sums, found))
            elif count <= _BLOCK:
                store(sums, found, sum_block(values, order, begin, count, width, column))
                found += 1
            else:
                half = count // 2 - count // 2 % _LANES
                write(waiting, 2 * todo + 1, -1)
                write(waiting, 2 * todo + 2, begin + half)
                write(waiting, 2 * todo + 3, count - half)
                write(waiting, 2 * todo + 4, begin)
                write(waiting, 2 * todo + 5, half)
                todo += 3
        return load(sums, 0)

    def sum_rows(request):
        values = pointer(read(request, _VALUES), storage, compute, "gradient")
        target = pointer(read(request, _ROW_VALUES), compute, compute, "lanes")
        order, firsts, width = read(request, _ORDER), read(request, _FIRSTS), read(request, _WIDTH)
        waiting = firsts + 8 * (read(request, _COUNT) + 1 + _DIGITS)
        sums = pointer(waiting + 16 * _HALVES, compute, compute, "outside")
        row = 0
        while row < read(request, _ROW_COUNT):
            begin, rest, column = read(firsts, row), read(firsts, row + 1) - read(firsts, row) - 1, 0
            while column < width:
                total = value(values, order, begin, width, column)
                if rest > 0:
                    total += sum_pairwise(values, order, begin + 1, rest, width, column, waiting, sums)
                store(target, row * width + column, total)
                column += 1
            row += 1
        return 0

    sum_rows.__name__ = sum_rows.__qualname__ = f"sum_rows_{stored.name}"
    return sum_rows
