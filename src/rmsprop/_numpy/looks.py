"""Whether a step's arrays are as in the step before: asked of all of them at once, by compiled code."""

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy

from rmsprop._core.arrays import Array, MemoryMap, address, span
from rmsprop._core.plan import Integers

_WRITEABLE = 0x0400


class Looks:
    """Gradients and variables of a step, pairwise, in the order in which they were given.

    Args:
        pairs: (gradient, variable), all of them arrays.
        places: for each pair, the address of the word that is to hold where the gradient is.
        memory: what the step writes to.
    """

    def __init__(self, pairs: Sequence[tuple[Array, Array]], places: Sequence[int], memory: MemoryMap) -> None:
        from rmsprop._core.cpu.kernels import entry
        from rmsprop._core.cpu.looks import HEADER, LOOK

        self._pairs = len(pairs)
        arrays = [*chain.from_iterable(pairs)]
        self._pack = struct.Struct(f"{len(arrays)}q").pack_into
        self._objects = bytearray(8 * len(arrays))
        self._kept: list[Any] = [self._objects]  # what the table holds addresses of
        rows: list[int] = []
        for number, array in enumerate(arrays):
            fixed, (first, last) = number % 2 == 1, span(array)
            found = {
                "object": id(array) if fixed else 0, "type": id(numpy.ndarray), "data": address(array),
                "descr": id(array.dtype), "axes": array.ndim, "lengths": self._words(array.shape),
                "strides": self._words(array.strides), "flags": _WRITEABLE if fixed else 0,
                "first": first - address(array), "last": last - address(array), "to": places[number // 2],
            }  # fmt: skip
            rows += [found[name] for name in LOOK]
            self._kept.append(array.dtype)
        starts, ends = memory.intervals()
        objects = ctypes.addressof(ctypes.c_char.from_buffer(self._objects))
        head = {
            "count": len(arrays), "objects": objects, "header": object.__basicsize__, "intervals": len(starts),
            "starts": self._words(starts), "ends": self._words(ends),
        }  # fmt: skip
        self._table = numpy.array([*(head[name] for name in HEADER), *rows], numpy.int64)
        self._address = self._table.ctypes.data
        # Not one of those that release the interpreter's lock: nobody may change an array meanwhile.
        self._look: Callable[[int], int] = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(entry("look"))

    def _words(self, numbers: Sequence[int]) -> int:
        words: Integers = numpy.array([*numbers, 0], numpy.int64)
        self._kept.append(words)
        return words.ctypes.data

    def are_of(self, pairs: Sequence[Any]) -> bool:
        """Whether these are such pairs: the same variables, with gradients like those of before, wherever they are."""
        if len(pairs) != self._pairs or {*map(type, pairs)} != {tuple} or {*map(len, pairs)} != {2}:
            return False
        self._pack(self._objects, 0, *map(id, chain.from_iterable(pairs)))
        return self._look(self._address) == 1


@cache
def can_look() -> bool:
    """Whether the fields of arrays are where they are expected: a trial with arrays of all kinds."""
    from rmsprop._core.cpu.looks import AXES, DATA, DESCR, FLAGS, LENGTHS, STRIDES

    base = numpy.zeros((4, 6), numpy.float32)
    fixed = numpy.zeros(3)
    fixed.flags.writeable = False
    trials = (base, base[1:, ::2], base.T, numpy.zeros(()), numpy.zeros((0, 5)), fixed, numpy.arange(5)[::-1])
    return all(
        _word(array, -1) == id(numpy.ndarray)
        and _word(array, DATA) == array.__array_interface__["data"][0]
        and _word(array, AXES) & 0xFFFFFFFF == array.ndim
        and _list(_word(array, LENGTHS), array.ndim) == array.shape
        and _list(_word(array, STRIDES), array.ndim) == array.strides
        and _word(array, DESCR) == id(array.dtype)
        and bool(_word(array, FLAGS) & _WRITEABLE) == array.flags.writeable
        for array in trials
    )


def _word(array: Array, number: int) -> int:
    return ctypes.c_int64.from_address(id(array) + object.__basicsize__ + 8 * number).value


def _list(at: int, count: int) -> tuple[int, ...]:
    return tuple((ctypes.c_int64 * count).from_address(at)) if count else ()
