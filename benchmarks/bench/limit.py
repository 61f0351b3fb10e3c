"""How fast memory allows a step to be: plain loops that move the same bytes.

A step reads the gradient, and reads and writes the variable and every slot. The loops here do the same with one
addition a number, on as many threads, cut up in several ways; copies of as many bytes run beside them. None of them is
the truth about a machine, so the fastest is taken for the limit. Where a step clips by norm it must read the gradient
before, so a loop that sums squares precedes them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numba
import numpy

from bench.frameworks import load
from bench.models import Array
from bench.timing import Step

#: Parts that the work is cut into, a thread.
_PARTS: Final = (1, 4)

#: Numbers in a block, within which `one_by_one` takes one array after the other.
_BLOCKS: Final = (256, 4096)

# Numba types what it compiles: annotations of Python's would say nothing here.
_jit = numba.njit(nogil=True, error_model="numpy")


@_jit
def add_to_one(source, a):
    """Read two arrays and write one."""
    for i in range(source.size):
        a[i] += source[i]


@_jit
def add_to_two(source, a, b):
    """Read three arrays and write two: a plain step."""
    for i in range(source.size):
        a[i] += source[i]
        b[i] += source[i]


@_jit
def add_to_three(source, a, b, c):
    """Read four arrays and write three: with momentum."""
    for i in range(source.size):
        number = source[i]
        a[i] += number
        b[i] += number
        c[i] += number


@_jit
def add_to_four(source, a, b, c, d):
    """Read five arrays and write four: centered besides."""
    for i in range(source.size):
        number = source[i]
        a[i] += number
        b[i] += number
        c[i] += number
        d[i] += number


@_jit
def add_to_five(source, a, b, c, d, e):
    """Read six arrays and write five: an average besides."""
    for i in range(source.size):
        number = source[i]
        a[i] += number
        b[i] += number
        c[i] += number
        d[i] += number
        e[i] += number


@_jit
def one_by_one(block, source, *targets):
    """Do the same with any number of arrays, of which each has its turn within a block."""
    for start in range(0, source.size, block):
        for target in targets:
            add_to_one(source[start : start + block], target[start : start + block])


@numba.njit(nogil=True, error_model="numpy", fastmath=True)
def square_sum(source):
    """Read one array. Fast-math lets LLVM sum in vectors, which no caller here minds."""
    total = numpy.float32(0.0)
    for i in range(source.size):
        total += source[i] * source[i]
    return total


#: How many arrays are written -> the loop that takes all of them at once.
TOGETHER: Final[dict[int, Any]] = {1: add_to_one, 2: add_to_two, 3: add_to_three, 4: add_to_four, 5: add_to_five}


class Memory:
    """Arrays as a step has them, and the loops over them; a context manager.

    Args:
        size: numbers in each array.
        slots: arrays of state besides the variable.
        norm: whether the gradient is read once more, before.
        threads: how many run at a time.
    """

    def __init__(self, size: int, slots: int, *, norm: bool, threads: int) -> None:
        # `full` writes its zeros; behind `zeros` the system would put one page everywhere, and caches would hold it.
        arrays: list[Array] = [numpy.full(size, 0, numpy.float32) for _ in range(2 + slots)]
        self._gradient, self._states = arrays[0], arrays[1:]
        self._norm, self._threads = norm, threads
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    @property
    def moved(self) -> int:
        """Bytes that one pass reads and writes."""
        passes = 1 + self._norm + 2 * len(self._states)
        return passes * self._gradient.nbytes

    def loops(self, *, torch: bool) -> dict[str, Step]:
        """Return all candidates for the limit by name; `torch` adds its copy."""
        loops: dict[str, Callable[..., object]] = {"together": TOGETHER[len(self._states)]}
        loops |= {f"in blocks of {block}": partial(one_by_one, block) for block in _BLOCKS}
        found: dict[str, Step] = {}
        for name, loop in loops.items():
            for parts in _PARTS:
                count = parts * self._threads
                found[f"{name}, {count} part{'s' if count > 1 else ''}"] = partial(self._run, loop, count)
        found["numpy.copyto"] = partial(self._copy, partial(self._share, numpy.copyto, self._threads))
        if torch:
            found["torch.Tensor.copy_"] = partial(self._copy, _torch_copy)
        return found

    def _run(self, loop: Callable[..., object], parts: int) -> None:
        if self._norm:
            self._share(square_sum, parts, self._gradient)
        self._share(loop, parts, self._gradient, *self._states)

    def _share(self, loop: Callable[..., object], parts: int, *arrays: Array) -> None:
        bounds = [arrays[0].size * part // parts for part in range(parts + 1)]
        list(self._pool.map(lambda ends: loop(*[array[slice(*ends)] for array in arrays]), pairwise(bounds)))

    def _copy(self, copy: Callable[[Array, Array], Any]) -> None:
        """Copy arrays onto each other until as many bytes are moved; a copy reads its bytes and writes them."""
        arrays = [self._gradient, *self._states]
        rest, turn = self.moved // 8, 0
        while rest > 0:
            count = min(rest, self._gradient.size)
            copy(arrays[(turn + 1) % len(arrays)][:count], arrays[turn % len(arrays)][:count])
            rest, turn = rest - count, turn + 1


def _torch_copy(target: Array, source: Array) -> Any:
    torch = load("torch")
    return torch.from_numpy(target).copy_(torch.from_numpy(source))
