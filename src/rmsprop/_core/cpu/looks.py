"""What looks at arrays and tensors have in common: whether lengths are as they were, and whether memory overlaps."""

from rmsprop._core.cpu.words import part, read


@part
def differ(these, those, count):
    """Whether two lists of words differ."""
    for place in range(count):  # noqa: SIM110 - Numba compiles no generators
        if read(these, place) != read(those, place):
            return True
    return False


@part
def touches(begin, end, intervals, starts, ends):
    """Whether memory from `begin` to `end` overlaps one of some intervals.

    Args:
        begin: address of the first byte.
        end: address of the one past the last.
        intervals: how many there are.
        starts: address of the words where they begin, ascending.
        ends: likewise, of those where they end.
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
