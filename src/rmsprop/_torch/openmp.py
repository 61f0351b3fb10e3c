"""The OpenMP team of this process's torch, as a pool of threads for steps on the CPU.

Its functions are those of the library that torch itself has loaded, found as torch's own code finds them: a second copy
would have threads of its own. A trial with a function that counts shows that they do what they should.
"""

import ctypes
import os
import sys
from functools import cache
from typing import Any, Final, final

import numpy
import torch

from rmsprop._core.forks import loading
from rmsprop._core.plan import Integers
from rmsprop._core.run import Pool
from rmsprop._core.switches import default_threads

#: The functions of an OpenMP runtime that are used, in the order of `rmsprop._core.cpu.openmp.OPENMP`.
_FUNCTIONS: Final = ("GOMP_parallel", "omp_in_parallel", "omp_get_wtime")

#: Pieces of a launch from which a region is worth it: 1.3 MB that are moved, in a plain step. Two threads then took 0.7
#: of one's time where the team spun, and 0.95 where it slept; with half as many 0.8, and 1.15 (Intel Xeon, 2 cores).
_LEAST: Final = 4

#: Linux's flag of a process that was forked and has not become another program since.
_FORKED: Final = 0x40


@final
class OpenMP:
    """The team. Where it is not there, or was late, threads of this package help."""

    least = _LEAST

    def __init__(self, library: Any) -> None:
        from rmsprop._core.cpu import openmp
        from rmsprop._core.cpu.helpers import OUR_TEAM
        from rmsprop._core.cpu.kernels import entry, live_forever, pool_words
        from rmsprop._core.cpu.system import address_of

        self._ours = OUR_TEAM
        words = pool_words(entry("ask_openmp"), entry("take_back"), OUR_TEAM.words_at())
        words += [address_of(getattr(library, name)) for name in _FUNCTIONS]
        words += [entry("take_part"), entry("ask"), 1, 0, openmp.FEWEST]
        self._words: Integers = numpy.array(words, numpy.int64)
        live_forever(self._words)
        _teams.append(self)
        self._view = self._words.data  # to read single words quickly
        self._is_there, self._without = openmp.IS_THERE, openmp.WITHOUT

    def words_at(self) -> int:
        """Return the address of the pool's words."""
        return int(self._words.ctypes.data)

    def have(self, helpers: int) -> None:
        """Start threads of this package, if they are needed."""
        if self._view[self._without] > 0 or not self._view[self._is_there]:
            self._ours.have(helpers)

    def leave(self) -> None:
        """Leave the work to threads of this package from now on."""
        self._words[self._is_there] = 0


@final
class LazyPool:
    """The team, or threads of this package if a trial of it fails: found, and compiled, when a step needs them."""

    least = _LEAST

    def __init__(self) -> None:
        self._found: Pool | None = None

    def words_at(self) -> int:
        """Return the address of the pool's words."""
        if self._found is None:
            from rmsprop._core.cpu.helpers import OUR_TEAM

            self._found = team() or OUR_TEAM
        return self._found.words_at()

    def have(self, helpers: int) -> None:
        """Start threads of this package, if they are needed."""
        if self._found is not None:
            self._found.have(helpers)


def _leave() -> None:
    """Do without the team in a forked child, which has none of its threads: GNU's runtime would wait for them."""
    for one in _teams:
        one.leave()
    _tried.cache_clear()
    _forked.append(True)


#: The teams of this process, and whether it was forked.
_teams: list[OpenMP] = []
_forked: list[bool] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)


def threads_and_pool() -> tuple[int, Pool | None]:
    """Return how many threads a step has, and whose; None: those of this package."""
    own = torch.get_num_threads()
    threads = default_threads(own)
    return threads, LazyPool() if 1 < threads == own and _library() is not None else None


def team() -> OpenMP | None:
    """Return torch's team; None if there is none that is known.

    There is also none within a parallel region, and on a thread for which the runtime has another number of threads
    than torch. Neither says anything about later calls.
    """
    library = _library()
    if library is None or library.omp_in_parallel() or library.omp_get_max_threads() != torch.get_num_threads():
        return None
    return _tried()


@cache
def _tried() -> OpenMP | None:
    """Return torch's team; None if a region did not have as many threads as were wanted."""
    library = _library()
    with loading():
        from rmsprop._core.cpu.kernels import entry

    counter, threads = numpy.zeros(1, numpy.int64), torch.get_num_threads()
    library.GOMP_parallel(ctypes.c_void_p(entry("come")), ctypes.c_void_p(counter.ctypes.data), threads, 0)
    with loading():
        return OpenMP(library) if counter[0] == threads else None


def _library() -> Any:
    """Return the libraries of torch with the OpenMP runtime among them; None if unknown, or without threads."""
    return None if _is_forked() else _loaded()


@cache
def _loaded() -> Any:
    """Return the libraries, loaded once: each `CDLL` leaves cycles behind. None if the runtime lacks a function.

    A function of a library that was loaded before all others, by LD_PRELOAD, stands in for that of the same name.
    """
    try:
        name = None if os.environ.get("LD_PRELOAD") else torch._C.__file__
        for one in (name, torch._C.__file__):
            library = ctypes.CDLL(one, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            if all(hasattr(library, function) for function in (*_FUNCTIONS, "omp_get_max_threads")):
                return library if torch.backends.openmp.is_available() else None  # type: ignore[no-untyped-call]
    except (OSError, AttributeError):  # a system without these, or a torch that is built otherwise
        pass
    return None


def _is_forked() -> bool:
    """Whether this process may have been forked from one with a team."""
    if _forked or sys.platform != "linux":
        return bool(_forked)
    try:
        with open("/proc/self/stat") as file:
            return bool(int(file.read().rpartition(")")[2].split()[6]) & _FORKED)
    except (OSError, ValueError, IndexError):
        return False
