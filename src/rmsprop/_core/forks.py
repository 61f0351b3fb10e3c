"""Forking a process while another of its threads loads or compiles kernels.

The child has none of its parent's threads, but their locks: it would wait for ever for what such a thread held. So a
fork waits until nobody imports Numba for us or compiles, for a while at least: whoever compiles might wait for the
thread that forks. What is held even then the child replaces: it may find Numba half-way through something, but a step
whose kernels are compiled does not need it.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

#: Seconds that a fork waits for each lock: longer than our kernels take to compile.
_PATIENCE: Final = 30.0


class _Owner:
    """Holds a lock where Numba's and llvmlite's do."""

    def __init__(self) -> None:
        self._lock = threading.RLock()


_imports = _Owner()
_kernels = _Owner()

#: Thread that forks -> the owners of locks, and whether it has got them.
_forking: dict[int, list[tuple[Any, bool]]] = {}


@contextmanager
def loading() -> Iterator[None]:
    """Keep other threads from forking while modules are imported that need Numba."""
    with _imports._lock:
        _register_again()
        yield


@contextmanager
def compiling() -> Iterator[None]:
    """Keep other threads from compiling a kernel, and from forking meanwhile."""
    with _kernels._lock:
        yield


@cache
def _register_again() -> None:
    # What is registered last is called first before a fork. Logging holds its lock from then on, and importing Numba
    # takes that: we have to come before.
    import logging  # noqa: F401

    _register()


def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)


def _owners() -> list[Any]:
    """List whose locks are held while kernels are loaded and compiled, in the order in which they are taken."""
    found: list[Any] = [_imports, _kernels]
    if "rmsprop._core.cpu.modes" in sys.modules:
        found.append(getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None))
        library = getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None)
        found.append(getattr(library, "_lock", None))
    return [owner for owner in found if hasattr(getattr(owner, "_lock", None), "acquire")]


def _before() -> None:
    # The first may be what loads the others.
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
