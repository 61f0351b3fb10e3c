"""Forking a process while another of its threads loads or compiles kernels.

The child has none of its parent's other threads, but copies of their locks, which nothing would release. So a fork
waits until no thread imports Numba for this package or compiles. The wait has a limit, because the thread that compiles
might wait for the one that forks. A lock that is held even then is replaced in the child, where Numba may be half-way
through something; a step whose kernels are compiled does not need it.
"""

import os
import sys
import threading
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final, final

#: Seconds that a fork waits for each lock: longer than our kernels take to compile.
_PATIENCE: Final = 30.0


@final
class _Owner:
    """The owner of a lock, in the same attribute as in Numba's and llvmlite's."""

    def __init__(self) -> None:
        self._lock = threading.RLock()


_imports = _Owner()
_kernels = _Owner()

#: Thread that forks -> the owners of locks, and whether each was acquired.
_forking: dict[int, list[tuple[Any, bool]]] = {}


# Both return the lock itself. A context manager in Python would hold it on if an interrupt came just after it has
# acquired it, for as long as anybody holds the traceback.


def loading() -> AbstractContextManager[Any]:
    """Return what delays forks by other threads while modules are imported that need Numba."""
    with _imports._lock:
        _register_again()
    return _imports._lock


def compiling() -> AbstractContextManager[Any]:
    """Return what delays compilations and forks by other threads while a kernel is compiled."""
    return _kernels._lock


@cache
def _register_again() -> None:
    # The function that is registered last is called first before a fork. Logging holds its lock from its own function
    # on, and the import of Numba needs that lock: ours has to be first.
    import logging  # noqa: F401

    _register()


def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)


def _owners() -> list[Any]:
    """Return the owners of the locks that are held while kernels are loaded and compiled, in the order of locking."""
    found: list[Any] = [_imports, _kernels]
    if "rmsprop._core.cpu.modes" in sys.modules:
        found.append(getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None))
        library = getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None)
        found.append(getattr(library, "_lock", None))
    return [owner for owner in found if hasattr(getattr(owner, "_lock", None), "acquire")]


def _before() -> None:
    # The thread with the first lock may be loading the others.
    mine = [(_imports, _imports._lock.acquire(timeout=_PATIENCE))]
    mine += [(owner, owner._lock.acquire(timeout=_PATIENCE)) for owner in _owners()[1:]]
    _forking.setdefault(threading.get_ident(), []).extend(mine)


def _after() -> None:
    for owner, held in reversed(_forking.pop(threading.get_ident(), [])):
        if held:
            owner._lock.release()


def _after_in_child() -> None:
    for owner, held in _forking.get(threading.get_ident(), []):
        if not held:
            owner._lock = threading.RLock()
    _after()
    _forking.clear()


_register()
