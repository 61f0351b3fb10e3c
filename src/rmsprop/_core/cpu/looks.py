"""Comparisons of arrays and tensors with those of the step before: lists of words, and memory that overlaps."""

from rmsprop._core.cpu.target import part
from rmsprop._core.cpu.words import read


@part
def differ(these, those, count):
    """Whether two lists of words differ."""
    for place in range(count):  # noqa: SIM110 - Numba compiles no generators
        if read(these, place) != read(those, place):
            return True
    return False


@part
def touches(begin, end, intervals, starts, ends):
    """Whether memory from `begin` to `end` overlaps one of several intervals.

    Args:
        begin: address of the first byte.
        end: address of the one past the last.
        intervals: how many there are.
        starts: address of the words with their beginnings, ascending.
        ends: address of the words with their ends.
    """
    # The first interval that ends after the memory begins, by bisection.
    low, high = 0, intervals
    while low < high:
        middle = (low + high) // 2
        if read(ends, middle) <= begin:
            low = middle + 1
        else:
            high = middle
    return low < intervals and read(starts, low) < end
