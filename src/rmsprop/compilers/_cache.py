"""Compiled CPU kernels on disk, so that only the first process on a machine compiles.

Numba's own cache looks at the file of the cached function alone and would miss a change of the rule that the
function calls. Here the folder's name is a hash of everything that decides the machine code: the rule, the kernels'
sources, and the versions of Python, Numba and llvmlite; the file's name adds the signature and the processor.

A cache is a convenience: when it cannot be read, is damaged or cannot be written, the kernel is compiled as if there
were none. Files carry a digest and appear by renaming, so a half-written one is never loaded.

The folder lies in the user's cache directory; the environment variable ``RMSPROP_CACHE_DIR`` names another, and an
empty value turns the cache off.
"""

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import platformdirs
from numba.core import compiler, serialize
from numba.core.caching import _Cache

from rmsprop import _rule


@cache
def cache_folder() -> Path | None:
    """The folder of this version's kernels; None where caching is off."""
    named = os.environ.get("RMSPROP_CACHE_DIR")
    if named == "":
        return None
    digest = hashlib.sha256(f"{sys.version}|{numba.__version__}|{llvmlite.__version__}".encode())
    for source in [Path(_rule.__file__), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(source.read_bytes())
    base = Path(named) if named else platformdirs.user_cache_path("rmsprop", appauthor=False)
    return base / f"kernels-{digest.hexdigest()[:16]}"


def cached(dispatcher: Any) -> Any:
    """Let a Numba dispatcher look for its machine code on disk before it compiles."""
    dispatcher._cache = _KernelCache(dispatcher.__name__)
    return dispatcher


class _KernelCache(_Cache):
    """Numba's interface of a function's cache: one file a signature and processor."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def cache_path(self) -> str:
        """The folder, as Numba reports it."""
        return str(cache_folder() or "")

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Give the compiled kernel, or None if there is no sound file of it."""
        target_context.refresh()
        # Whatever a damaged or foreign file makes the loader raise: the answer is to compile.
        with contextlib.suppress(Exception):
            stored = self._file(signature, target_context.codegen()).read_bytes()
            digest, payload = stored[:32], stored[32:]
            if hashlib.sha256(payload).digest() == digest:
                return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Write the compiled kernel under its final name in one move."""
        with contextlib.suppress(Exception):
            target = self._file(signature, data.codegen)
            payload = serialize.dumps(data._reduce())
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(payload).digest() + payload)
                os.replace(name, target)
            except BaseException:
                os.unlink(name)
                raise

    def _file(self, signature: Any, codegen: Any) -> Path:
        folder = cache_folder()
        if folder is None:
            raise FileNotFoundError("caching is off")
        key = hashlib.sha256(repr((signature, codegen.magic_tuple())).encode()).hexdigest()
        return folder / f"{self._name}-{key[:24]}"

    def enable(self) -> None:
        """Numba's interface; whether to cache is the environment's decision."""

    def disable(self) -> None:
        """Numba's interface; see `enable`."""

    def flush(self) -> None:
        """Numba's interface; old folders are left to the user."""
