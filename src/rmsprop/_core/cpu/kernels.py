"""The compiled functions by their keys: found on disk or compiled, and called by their addresses.

Each is a C function, so that compiled code of any framework may call it: ``void kernel(int64 job)`` for a launch,
``void execute(int64 head)`` for a whole step.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy

from rmsprop._core import scales
from rmsprop._core.cpu import coalesce, cores, execute, gather, norms, openmp, pieces, pools, step, team
from rmsprop._core.cpu.cache import KernelCache
from rmsprop._core.cpu.system import library_function, yields
from rmsprop._core.cpu.target import CFunction
from rmsprop._core.forks import compiling

_WORD: Final = "void(int64)"
_RETURNS_WORD: Final = "int64(int64)"
_TWO_WORDS: Final = "void(int64, int64)"

#: What a pool has in `ask` and `take_back`.
TO_A_POOL: Final = "int64(int64, int64, int64)"

_TEAM: Final = (team, cores, pools)

#: The functions of every step: each with its signature, and the modules that it is made of.
_ENTRIES: Final = {
    "execute": (execute.execute, _WORD, (execute, norms, scales, gather, pieces, pools)),
    "coalesce": (coalesce.coalesce, _RETURNS_WORD, (coalesce,)),
    "lead": (pools.lead, _WORD, (pools,)),
    "help_with": (pools.help_with, _WORD, (pools,)),
    "serve": (team.serve, _TWO_WORDS, _TEAM),
    "ask": (team.ask, TO_A_POOL, _TEAM),
    "take_back": (team.take_back, TO_A_POOL, _TEAM),
    "ask_openmp": (openmp.ask, TO_A_POOL, (openmp, pools)),
    "take_part": (openmp.take_part, _WORD, (openmp, pools)),
    "come": (openmp.come, _WORD, (openmp, pools)),
    "dismiss": (team.dismiss, _TWO_WORDS, _TEAM),
}


def live_forever(owner: Any) -> None:
    """Keep an object alive while the interpreter is taken down: a thread of a framework may still run its code."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


_found: dict[Any, Any] = {}


def c_function(function: Callable[..., Any], signature: str, *modules: Any) -> int:
    """Return the address of a C function that is compiled from a Python one, in a file of the cache.

    Args:
        function: a module's own, which Numba can compile.
        signature: as Numba writes it.
        modules: what it is made of, besides the modules of all kernels.
    """
    name = f"{function.__module__}.{function.__name__}"
    return _address(name, name, lambda: (function, signature, modules))


def entry(name: str) -> int:
    """Return the address of a function of every step, one of `_ENTRIES`."""
    return _address(name, name, lambda: _ENTRIES[name])


def pool_words(ask: int, take_back: int = 0, own: int = 0) -> list[int]:
    """Return the words of `rmsprop._core.cpu.pools.POOL`; what a pool has of its own is given."""
    found = {"ask": ask, "take_back": take_back, "yields": yields(), "own": own}
    found |= {name: entry(name) for name in ("lead", "help_with")}
    return [found[name] if name in found else library_function(name) for name in pools.POOL]


def kernel(key: Any) -> int:
    """Return the address of the kernel for a `rmsprop._core.plan.Kernel`."""
    module = step if key.work == "step" else norms
    return _address(
        key,
        pieces.name_of(key),
        lambda: (pieces.over_pieces(key, module.make(key)), _WORD, (module, gather, pieces)),
    )


def row_sums(stored: numpy.dtype[Any], compute: numpy.dtype[Any]) -> int:
    """Return the address of the function that sums rows of a type; see `rmsprop._core.cpu.coalesce`."""
    name = f"sum_rows_{stored.name}"
    return _address(name, name, lambda: (coalesce.make(stored, compute), _RETURNS_WORD, (coalesce,)))


def _address(key: Any, name: str, make: Callable[[], tuple[Any, str, Sequence[Any]]]) -> int:
    if key not in _found:
        with compiling():
            if key not in _found:
                function, signature, modules = make()
                found = CFunction(function, signature, KernelCache(name, [module.__file__ for module in modules]))
                live_forever(found)
                _found[key] = found
    address: int = _found[key].address
    return address
