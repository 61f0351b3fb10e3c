"""Memory of C for the tables of compiled code, which frees it without Python, or never."""

import ctypes
from functools import cache
from typing import Any, final

import numpy

from rmsprop._core.cpu.system import library_function
from rmsprop._core.plan import Integers


@cache
def _malloc() -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(library_function("malloc"))


@final
class CMemory:
    """Blocks of memory, each of which begins with the address of the one before, 0 in the first."""

    def __init__(self) -> None:
        self._last = 0
        self._texts: dict[str, int] = {}

    def keep(self, words: Integers) -> int:
        """Copy words into a new block, and return their address."""
        return self._block(words.ctypes.data, words.nbytes)

    def text(self, text: str) -> int:
        """Copy a text, with a zero at its end, unless it is there, and return its address."""
        if text not in self._texts:
            content = text.encode() + b"\0"
            self._texts[text] = self._block(content, len(content))
        return self._texts[text]

    def rows(self, table: tuple[str, ...], rows: list[dict[str, int]]) -> int:
        """Copy rows, words by the names of their columns, and return their address; what is not named is 0."""
        words = [[row.get(name, 0) for name in table] for row in rows]
        assert all(name in table for row in rows for name in row)
        return self.keep(numpy.array(words, numpy.int64).reshape(-1))

    def _block(self, content: bytes | int, size: int) -> int:
        start = _malloc()(8 + size)
        if not start:
            raise MemoryError(f"there is no memory for {size} bytes of tables")
        ctypes.c_int64.from_address(start).value = self._last
        ctypes.memmove(start + 8, content, size)
        self._last = start
        return int(start) + 8
