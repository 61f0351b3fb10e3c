"""What an array is made of: its address, the memory it spans, and whether it shares memory with another."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_void_p
from typing import Any

import numpy
from numpy.typing import NDArray

from rmsprop._core.options import FLOATS

Array = NDArray[Any]

#: Candidate solutions that NumPy may try before a question about shared memory counts as answered with yes.
_MAX_WORK: Any = 1_000_000


def is_float(dtype: numpy.dtype[Any]) -> bool:
    """Whether numbers of this type, in the machine's byte order, can be loaded by a kernel."""
    return dtype.name in FLOATS and dtype.isnative


def span(array: Array) -> tuple[int, int]:
    """Give the lowest address of an array's memory and the one past its end."""
    start = int(array.__array_interface__["data"][0])
    if array.flags.c_contiguous:
        return start, start + array.nbytes
    reach = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    return start + sum(r for r in reach if r < 0), start + sum(r for r in reach if r > 0) + array.itemsize


def overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory, as in a broadcast array or a sliding window."""
    if array.flags.c_contiguous or array.size == 0:
        return False
    axes = sorted(
        (abs(stride), length) for length, stride in zip(array.shape, array.strides, strict=True) if length > 1
    )
    needed = array.itemsize
    for stride, length in axes:
        if stride < needed:
            return True
        needed = stride * (length - 1) + needed
    return False


def first_overlap(arrays: Sequence[Array]) -> tuple[int, int] | None:
    """Find two arrays that share memory, or none."""
    spans = sorted((*span(array), index) for index, array in enumerate(arrays) if array.size)
    active: list[tuple[int, int]] = []
    for start, end, index in spans:
        active = [(other_end, other) for other_end, other in active if other_end > start]
        for _, other in active:
            if shares_memory(arrays[index], arrays[other]):
                return min(index, other), max(index, other)
        active.append((end, index))
    return None


def shares_memory(one: Array, other: Array) -> bool:
    """Whether two arrays have a byte in common; an answer that would take too long to find counts as yes."""
    try:
        return numpy.shares_memory(one, other, max_work=_MAX_WORK)
    except numpy.exceptions.TooHardError:
        return True


class MemoryMap:
    """The memory of many arrays as a sorted list of disjoint intervals, to be asked quickly."""

    def __init__(self, arrays: Iterable[Array]) -> None:
        spans = sorted(span(array) for array in arrays if array.size)
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in spans:
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def intervals(self) -> tuple[Sequence[int], Sequence[int]]:
        """Give where the intervals begin, ascending, and where they end."""
        return self._starts, self._ends

    def touches(self, start: int, end: int) -> bool:
        """Whether any interval overlaps ``start`` to ``end``."""
        return bisect_right(self._ends, start) < bisect_left(self._starts, end)


def _address_reader() -> Callable[[Array], int]:
    """Choose how to read the address of an array's first element.

    ``__array_interface__`` takes a microsecond, which is most of a small model's step. An ndarray object holds the
    address right behind the Python object's header, where NumPy's binary interface fixes it; that is read here where a
    trial shows that it is so.
    """

    def by_interface(array: Array) -> int:
        return int(array.__array_interface__["data"][0])

    offset = object.__basicsize__
    read = c_void_p.from_address

    def by_layout(array: Array) -> int:
        return read(id(array) + offset).value or 0

    trial = numpy.zeros(8)
    samples = (trial, trial[3:], trial[::-1], numpy.zeros((2, 3), numpy.float32).T)
    return by_layout if all(by_layout(sample) == by_interface(sample) for sample in samples) else by_interface


address: Callable[[Array], int] = _address_reader()


def packed_address(array: Array, dtype: numpy.dtype[Any] | None = None, size: int | None = None) -> int:
    """Give the address of an array that a kernel takes for numbers side by side in C order.

    Args:
        array: what the kernel is to read or write.
        dtype: how the kernel takes the numbers to be stored; None: as they are.
        size: how many it takes them to be; None: as many as there are.

    Raises:
        AssertionError: it is none: its numbers would be read in another order, or those behind it.
    """
    if not array.flags.c_contiguous or dtype not in (None, array.dtype) or size not in (None, array.size):
        raise AssertionError(
            f"a kernel was to be given {array.dtype}{list(array.shape)} with strides {array.strides}; "
            f"it needs C order, the type {dtype or array.dtype} and {array.size if size is None else size} numbers"
        )
    return address(array)


class _Memory:
    """Memory as NumPy's array interface describes it."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(
        self, address: int, typestr: str, shape: Sequence[int], strides: Sequence[int] | None, owner: Any
    ) -> None:
        self._owner, steps = owner, None if strides is None else tuple(strides)
        self.__array_interface__ = {
            "version": 3, "typestr": typestr, "data": (address, False), "shape": tuple(shape), "strides": steps,
        }  # fmt: skip


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
    known = dtype.isbuiltin != 2  # bfloat16, which NumPy's interface has no name for, is another package's
    found = numpy.asarray(_Memory(address, dtype.str if known else "<u2", shape, strides, owner))
    return found if known else found.view(dtype)


def memory_order(array: Array) -> tuple[int, ...]:
    """Give the axes from the one whose elements lie farthest apart to the one whose lie closest."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def empty_alike(array: Array, dtype: numpy.dtype[Any]) -> Array:
    """Make an array without gaps whose axes lie in memory as those of `array` do."""
    order = memory_order(array)
    empty = numpy.empty([array.shape[axis] for axis in order], dtype)
    return empty.transpose(numpy.argsort(order).tolist())


def merge_axes(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Join neighbouring axes that all the given strides walk like one, so that rows become as long as they can."""
    kept = [axis for axis, length in enumerate(shape) if length != 1]
    if not kept:
        return [1], [[0] for _ in strides]
    lengths = [shape[axis] for axis in kept]
    steps = [[one[axis] for axis in kept] for one in strides]
    for axis in range(len(lengths) - 1, 0, -1):
        if all(one[axis - 1] == one[axis] * lengths[axis] for one in steps):
            lengths[axis - 1 : axis + 1] = [lengths[axis - 1] * lengths[axis]]
            for one in steps:
                del one[axis - 1]
    return lengths, steps
