"""Arrays as memory: their addresses, the memory that they span, and whether two share memory."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_void_p
from typing import Any, Final, final

import numpy
from numpy.typing import NDArray

from rmsprop._core.checks import FLOATS

Array = NDArray[Any]

#: Candidate solutions that NumPy tries before it refuses a question about shared memory.
_MAX_WORK: Final[Any] = 1_000_000


def is_float(dtype: numpy.dtype[Any]) -> bool:
    """Whether a kernel can load numbers of this type: one of the four, in the machine's byte order."""
    return dtype.name in FLOATS and dtype.isnative


def span(array: Array) -> tuple[int, int]:
    """Return the lowest address of an array's memory and the one past its end."""
    start = _by_interface(array)
    if array.flags.c_contiguous:
        return start, start + array.nbytes
    reach = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    return start + sum(r for r in reach if r < 0), start + sum(r for r in reach if r > 0) + array.itemsize


def overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory, as in a broadcast array or a sliding window."""
    if array.flags.c_contiguous or array.size == 0:
        return False
    needed = array.itemsize
    for stride, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if stride < needed:
                return True
            needed += stride * (length - 1)
    return False


def first_overlap(arrays: Sequence[Array]) -> tuple[int, int] | None:
    """Return the numbers of two arrays that share memory, or None."""
    active: list[tuple[int, int]] = []
    for start, end, index in sorted((*span(array), index) for index, array in enumerate(arrays) if array.size):
        active = [(other_end, other) for other_end, other in active if other_end > start]
        for _, other in active:
            if shares_memory(arrays[index], arrays[other]):
                return min(index, other), max(index, other)
        active.append((end, index))
    return None


def shares_memory(one: Array, other: Array) -> bool:
    """Whether two arrays have a byte in common; True as well if the answer would take too long."""
    try:
        return numpy.shares_memory(one, other, max_work=_MAX_WORK)
    except numpy.exceptions.TooHardError:
        return True


@final
class MemoryMap:
    """The memory of many arrays as a sorted list of disjoint intervals."""

    def __init__(self, arrays: Iterable[Array]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(span(array) for array in arrays if array.size):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def intervals(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the beginnings of the intervals, ascending, and their ends."""
        return self._starts, self._ends

    def touches(self, start: int, end: int) -> bool:
        """Whether any interval overlaps ``start`` to ``end``."""
        return bisect_right(self._ends, start) < bisect_left(self._starts, end)


def _by_interface(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _address_reader() -> Callable[[Array], int]:
    """Return the fastest function that reads the address of an array's first element.

    ``__array_interface__`` takes a microsecond, which is most of a small model's step. An ndarray object has the
    address behind the Python object's header, where NumPy's binary interface fixes it; it is read there if a trial
    succeeds.
    """
    offset, read = object.__basicsize__, c_void_p.from_address

    def by_layout(array: Array) -> int:
        return read(id(array) + offset).value or 0

    trial = numpy.zeros(8)
    samples = (trial, trial[3:], trial[::-1], numpy.zeros((2, 3), numpy.float32).T)
    return by_layout if all(by_layout(sample) == _by_interface(sample) for sample in samples) else _by_interface


address: Callable[[Array], int] = _address_reader()


def packed_address(array: Array, dtype: numpy.dtype[Any] | None = None, size: int | None = None) -> int:
    """Return the address of an array that a kernel treats as contiguous, in C order.

    Raises:
        AssertionError: it is not, or has another type or size: the kernel would read other numbers.
    """
    if not array.flags.c_contiguous or dtype not in (None, array.dtype) or size not in (None, array.size):
        raise AssertionError(
            f"a kernel was to be given {array.dtype}{list(array.shape)} with strides {array.strides}; "
            f"it needs C order, the type {dtype or array.dtype} and {array.size if size is None else size} numbers"
        )
    return address(array)


@final
class _Memory:
    """Memory as NumPy's array interface describes it."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, owner: Any, **interface: Any) -> None:
        self._owner = owner
        self.__array_interface__ = {"version": 3, **interface}


def array_at(
    address: int,
    dtype: numpy.dtype[Any],
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    owner: Any = None,
) -> Array:
    """Return memory as an array, in C order without strides; the array keeps `owner` alive, and no memory by itself."""
    if not math.prod(shape):
        return numpy.empty(shape, dtype)
    steps = None if strides is None else tuple(strides)
    # bfloat16, which NumPy's interface has no name for, is another package's type.
    text = dtype.str if dtype.isbuiltin != 2 else "<u2"
    found = numpy.asarray(_Memory(owner, typestr=text, data=(address, False), shape=tuple(shape), strides=steps))
    return found.view(dtype)


def memory_order(array: Array) -> tuple[int, ...]:
    """Return the axes by the distances of their elements in memory, the largest first."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def empty_alike(array: Array, dtype: numpy.dtype[Any]) -> Array:
    """Make an array without gaps whose axes have the same order in memory as those of `array`."""
    order = memory_order(array)
    empty = numpy.empty([array.shape[axis] for axis in order], dtype)
    return empty.transpose(numpy.argsort(order).tolist())


def merge_axes(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Join neighbouring axes that are one axis for all the given strides, so that rows are as long as possible."""
    axes = [axis for axis, length in enumerate(shape) if length != 1]
    if not axes:
        return [1], [[0] for _ in strides]
    lengths = [shape[axis] for axis in axes]
    steps = [[one[axis] for axis in axes] for one in strides]
    for axis in range(len(lengths) - 1, 0, -1):
        if all(one[axis - 1] == one[axis] * lengths[axis] for one in steps):
            lengths[axis - 1 : axis + 1] = [lengths[axis - 1] * lengths[axis]]
            for one in steps:
                del one[axis - 1]
    return lengths, steps
