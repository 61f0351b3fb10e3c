"""How fast memory allows a step to be: plain loops that move the same bytes.

A step reads the gradient, and reads and writes the variable and every slot. The loops here do the same with one
addition a number, on as many threads, cut up in several ways; copies of as many bytes run beside them. None of them is
the truth about a machine, so the fastest is taken for the limit. Where a step clips by norm it must read the gradient
before, so a loop that sums squares precedes them.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numba
import numpy

from rmsprop.cli.bench.frameworks import load
from rmsprop.cli.bench.models import Array
from rmsprop.cli.bench.timing import Step

#: Numbers in a block: within it the loops take one array, or two, after the other.
_BLOCKS: Final = {"256": 256, "2048": 2048, "16384": 16384, "any size": sys.maxsize // 2}

#: Parts that the work is cut into, a thread.
_PARTS: Final = (1, 4)

_jit = numba.njit(nogil=True, error_model="numpy")


@_jit
def add(target, source):  # type: ignore[no-untyped-def]
    """Read two arrays and write one."""
    for i in range(source.size):
        target[i] += source[i]


@_jit
def add_to_two(one, two, source):  # type: ignore[no-untyped-def]
    """Do the same with two targets; more of them and LLVM would not vectorise the loop."""
    for i in range(source.size):
        one[i] += source[i]
        two[i] += source[i]


@_jit
def one_by_one(first, last, block, gradient, states):  # type: ignore[no-untyped-def]
    """Within each block, take one array after the other."""
    for start in range(first, last, block):
        end = min(start + block, last)
        for state in states:
            add(state[start:end], gradient[start:end])


@_jit
def two_by_two(first, last, block, gradient, states):  # type: ignore[no-untyped-def]
    """Within each block, take two arrays at a time."""
    for start in range(first, last, block):
        end = min(start + block, last)
        for pair in range(len(states) // 2):
            add_to_two(states[2 * pair][start:end], states[2 * pair + 1][start:end], gradient[start:end])
        if len(states) % 2:
            add(states[len(states) - 1][start:end], gradient[start:end])


@numba.njit(nogil=True, error_model="numpy", fastmath=True)
def square_sum(first, last, gradient):  # type: ignore[no-untyped-def]
    """Read one array. Fast-math lets LLVM sum in vectors, which no caller here minds."""
    total = numpy.float32(0.0)
    for i in range(first, last):
        total += gradient[i] * gradient[i]
    return total


class Memory:
    """Arrays as a step has them, and the loops over them.

    Args:
        size: numbers in each array.
        slots: arrays of state besides the variable.
        norm: whether the gradient is read once more, before.
        threads: how many run at a time.
    """

    def __init__(self, size: int, slots: int, *, norm: bool, threads: int) -> None:
        # `full` writes its zeros; behind `zeros` the system would put one page everywhere, and caches would hold it.
        arrays: list[Array] = [numpy.full(size, 0, numpy.float32) for _ in range(2 + slots)]
        self._gradient, self._states = arrays[0], tuple(arrays[1:])
        self._size, self._norm, self._threads = size, norm, threads
        self._pool = ThreadPoolExecutor(threads)

    @property
    def moved(self) -> int:
        """Bytes that one pass reads and writes."""
        passes = 1 + self._norm + 2 * len(self._states)
        return passes * self._gradient.nbytes

    def loops(self, *, torch: bool) -> dict[str, Step]:
        """Give all candidates for the limit by name; `torch` adds its copy."""
        found: dict[str, Step] = {}
        for name, loop in {"one by one": one_by_one, "two by two": two_by_two}.items():
            for size, block in _BLOCKS.items():
                for parts in _PARTS:
                    label = f"Numba, {name}, blocks of {size}, {parts * self._threads} parts"
                    found[label] = partial(self._run, loop, block, parts * self._threads)
        found["numpy.copyto"] = partial(self._copy, self._share_copy)
        if torch:
            found["torch.Tensor.copy_"] = partial(self._copy, _torch_copy)
        return found

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def _run(self, loop: Callable[..., Any], block: int, parts: int) -> None:
        if self._norm:
            self._share(square_sum, parts, self._gradient)
        self._share(loop, parts, block, self._gradient, self._states)

    def _share(self, loop: Callable[..., Any], parts: int, *arguments: Any) -> None:
        bounds = [self._size * part // parts for part in range(parts + 1)]
        list(self._pool.map(lambda ends: loop(*ends, *arguments), pairwise(bounds)))

    def _copy(self, copy: Callable[[Array, Array], object]) -> None:
        """Copy arrays onto each other until as many bytes are moved; each copy reads and writes its bytes once."""
        arrays = (self._gradient, *self._states)
        rest, turn = self.moved // 8, 0
        while rest > 0:
            count = min(rest, self._size)
            copy(arrays[(turn + 1) % len(arrays)][:count], arrays[turn % len(arrays)][:count])
            rest, turn = rest - count, turn + 1

    def _share_copy(self, target: Array, source: Array) -> None:
        bounds = [target.size * part // self._threads for part in range(self._threads + 1)]
        list(self._pool.map(lambda ends: numpy.copyto(target[slice(*ends)], source[slice(*ends)]), pairwise(bounds)))


def _torch_copy(target: Array, source: Array) -> object:
    torch = load("torch")
    return torch.from_numpy(target).copy_(torch.from_numpy(source))
