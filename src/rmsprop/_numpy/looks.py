"""Whether a step's arrays are as in the step before: found for all of them at once, by compiled code."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, final

import numpy

from rmsprop._core import objects
from rmsprop._core.arrays import Array, MemoryMap, address, span
from rmsprop._core.forms import Gradient
from rmsprop._core.objects import word, words
from rmsprop._core.rows import RowSparse

_WRITEABLE: Final = 0x0400

# Each call of this makes a class. Not of the kind that releases the interpreter's lock: nobody may change an array
# while it is looked at.
_LOOK: Final = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


@final
class Looks:
    """Gradients and variables of a step, pairwise, in the order in which they were given.

    Args:
        pairs: (gradient, variable), all of them arrays but sparse gradients, which are not looked at.
        places: for each pair, the address of the word that is to hold where the gradient is.
        memory: what the step writes to.
    """

    def __init__(self, pairs: Sequence[tuple[Gradient, Array]], places: Sequence[int], memory: MemoryMap) -> None:
        from rmsprop._core.cpu import looks
        from rmsprop._core.cpu.kernels import c_function
        from rmsprop._numpy import array_looks

        self._pairs = len(pairs)
        self._held: list[Any] = []  # what the table has addresses of
        starts, ends = memory.intervals()
        head = {
            "count": 2 * len(pairs), "header": object.__basicsize__, "intervals": len(starts),
            "starts": self._words(starts), "ends": self._words(ends),
        }  # fmt: skip
        table = [head[name] for name in array_looks.HEADER]
        for number, array in enumerate(chain.from_iterable(pairs)):
            row = {"axes": -1} if isinstance(array, RowSparse) else self._row(array, number % 2 == 1)
            row["to"] = places[number // 2]
            table += [row.get(name, 0) for name in array_looks.LOOK]
        self._address = self._words(table)
        self._look: Callable[[int, int], int] = _LOOK(
            c_function(array_looks.look, "int64(int64, int64)", array_looks, looks)
        )

    def _row(self, array: Array, is_variable: bool) -> dict[str, int]:
        begin, end = span(array)
        self._held.append(array.dtype)
        return {
            "object": id(array) if is_variable else 0, "type": id(numpy.ndarray), "data": address(array),
            "descr": id(array.dtype), "axes": array.ndim, "lengths": self._words(array.shape),
            "strides": self._words(array.strides), "flags": _WRITEABLE if is_variable else 0,
            "below": address(array) - begin, "above": end - address(array),
        }  # fmt: skip

    def _words(self, numbers: Sequence[int]) -> int:
        """Return the address of int64 words that live as long as this."""
        self._held.append(numpy.array([*numbers, 0], numpy.int64))
        return int(self._held[-1].ctypes.data)

    def are_of(self, pairs: Sequence[Any]) -> bool:
        """Whether these are such pairs: the same variables, and gradients like those of before, at any address."""
        if len(pairs) != self._pairs or {*map(type, pairs)} != {tuple} or {*map(len, pairs)} != {2}:
            return False
        arrays = [*chain.from_iterable(pairs)]
        return self._look(self._address, id(arrays)) == 1


@cache
def can_look() -> bool:
    """Whether the fields of arrays are where they are expected: a trial with arrays of all kinds."""
    from rmsprop._numpy.array_looks import AXES, DATA, DESCR, FLAGS, LENGTHS, STRIDES

    def field(array: Array, number: int) -> int:
        return word(id(array) + object.__basicsize__ + 8 * number)

    base = numpy.zeros((4, 6), numpy.float32)
    fixed = numpy.zeros(3)
    fixed.flags.writeable = False
    trials = (base, base[1:, ::2], base.T, numpy.zeros(()), numpy.zeros((0, 5)), fixed, numpy.arange(5)[::-1])
    return objects.are_known() and all(
        word(id(array) + objects.TYPE) == id(numpy.ndarray)
        and field(array, DATA) == array.__array_interface__["data"][0]
        and field(array, AXES) & 0xFFFFFFFF == array.ndim
        and words(field(array, LENGTHS), array.ndim) == array.shape
        and words(field(array, STRIDES), array.ndim) == array.strides
        and field(array, DESCR) == id(array.dtype)
        and bool(field(array, FLAGS) & _WRITEABLE) == array.flags.writeable
        for array in trials
    )
