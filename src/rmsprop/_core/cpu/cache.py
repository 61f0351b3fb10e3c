"""Compiled CPU kernels on disk, so that only the first process on a machine compiles.

Numba's own cache looks only at the file of the cached function, and would miss a change of the rule that the function
calls. Here the folder's name is a hash of the versions of Python, Numba and llvmlite, and of the sources that every
kernel is made of; the file's name has a hash of the kernel's own modules, the signature and the processor. So a kernel
is compiled anew if and only if something that it is made of has changed.

A cache is a convenience: when it cannot be read, is damaged or cannot be written, the kernel is compiled as if there
were none. Files have a digest and appear by renaming, so a half-written one is never loaded.

A reader of the cache runs its code. So folders are made for their owner alone (mode 0700), and a cache is refused if
the folder, its parent or a file belongs to anybody but the user or root, or if the group or others may write to it. A
refused cache is neither read nor written by this process, which warns once.

The folder is in the user's cache directory; the environment variable ``RMSPROP_CACHE_DIR`` names another, and an empty
value turns the cache off.
"""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, final

import llvmlite
import numba
import platformdirs
from numba.core import compiler, serialize
from numba.core.caching import _Cache

from rmsprop._core import rule, tables
from rmsprop._core.cpu import half, memory, modes, private, target, words
from rmsprop._core.warnings import warn

T = TypeVar("T")

#: What every kernel is made of.
_SHARED: Final = (rule, tables, half, memory, modes, target, words)


@cache
def cache_folder() -> Path | None:
    """Return the folder of this version's kernels; None if caching is off."""
    named = os.environ.get("RMSPROP_CACHE_DIR")
    if named == "":
        return None
    versions = f"{sys.version}|{numba.__version__}|{llvmlite.__version__}"
    base = Path(named) if named else platformdirs.user_cache_path("rmsprop", appauthor=False)
    return base / f"kernels-{_hash(versions, *(str(module.__file__) for module in _SHARED))[:16]}"


@cache
def _hash(text: str, *sources: str) -> str:
    """Hash a text and the contents of files."""
    digest = hashlib.sha256(text.encode())
    for source in sources:
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


#: Refused caches, of which a warning was given.
_refused: set[Path] = set()


def _without_failing(action: Callable[[Path], T]) -> T | None:
    """Call a function of the cache's folder; None if it fails or there is no cache: the kernel is then compiled.

    Warns:
        UserWarning: the cache was refused just now.
    """
    folder = cache_folder()
    if folder is None or folder in _refused:
        return None
    try:
        return action(folder)
    except private.NotPrivate as problem:
        _refused.add(folder)
        warn(
            f"the cache of compiled kernels in {folder.parent} is not used, as whoever may write there may run code as "
            f"you: {problem}. Take that right away (chmod go-w) or remove it, or let RMSPROP_CACHE_DIR name a folder "
            "of your own; RMSPROP_CACHE_DIR= (empty) turns the cache off",
            through="numba",
        )
    except Exception:  # any that a damaged or foreign file makes the loader raise
        pass
    return None


@final
class KernelCache(_Cache):
    """The cache of one function, by Numba's interface: one file a signature and processor.

    Args:
        name: of the file.
        sources: paths of the function's own modules, besides those of all kernels.
    """

    def __init__(self, name: str, sources: Sequence[str]) -> None:
        self._name, self._sources = name, sources

    @property
    def cache_path(self) -> str:
        """The folder, as Numba reports it."""
        return str(cache_folder() or "")

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled kernel, or None if there is no sound file of it."""

        def load(folder: Path) -> Any:
            stored = private.read(folder, self._file(signature, target_context.codegen()))
            digest, payload = stored[:32], stored[32:]
            if hashlib.sha256(payload).digest() != digest:
                return None
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))

        return _without_failing(load)

    def save_overload(self, signature: Any, data: Any) -> None:
        """Write the compiled kernel under its final name in one move."""

        def save(folder: Path) -> None:
            payload = serialize.dumps(data._reduce())
            name = self._file(signature, data.codegen)
            private.write(folder, name, hashlib.sha256(payload).digest() + payload)

        _without_failing(save)

    def _file(self, signature: Any, codegen: Any) -> str:
        key = _hash(repr((signature, codegen.magic_tuple())), *self._sources)
        return f"{self._name}-{key[:24]}"

    def enable(self) -> None:
        """Do nothing: the environment decides whether to cache."""

    disable = enable

    def flush(self) -> None:
        """Do nothing: the user removes old folders."""
