"""The floating-point mode of a thread: whether it takes subnormal numbers for zero, and how to have it not do so.

Frameworks set threads to flush subnormal numbers: TensorFlow and XLA those that run operations,
`torch.set_flush_denormal` the caller's. A step gives the same numbers on any thread, so it turns this off and restores
it. Kernels do that themselves (`rmsprop._core.cpu.modes`); this is for what is done around them, with NumPy.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

_SMALLEST: Final = sys.float_info.min

#: Bytes for an `fenv_t`; the largest of all machines has some 50.
_BYTES: Final = 512

#: What C's `FE_DFL_ENV` is on Linux.
_DEFAULT: Final = -1


def flushes() -> bool:
    """Whether this thread flushes subnormal numbers and can be kept from it."""
    # Either the result is flushed, or what it is compared with.
    return _SMALLEST * 0.5 == 0.0 and _library() is not None


@contextmanager
def exact() -> Iterator[None]:
    """Compute with subnormal numbers on this thread, rounding to nearest, and then as before."""
    library = _library() if flushes() else None
    if library is None:
        yield
        return
    before = ctypes.create_string_buffer(_BYTES)
    library.fegetenv(before)
    try:
        library.fesetenv(ctypes.c_void_p(_DEFAULT))
        yield
    finally:
        library.fesetenv(before)


@cache
def _library() -> Any:
    """C's functions for the floating-point environment; None where it is not known what they do with flushing."""
    if sys.platform != "linux":
        return None
    for name in (None, "libm.so.6"):
        try:
            library = ctypes.CDLL(name)
            _ = library.fegetenv, library.fesetenv
        except (OSError, AttributeError):
            continue
        return library
    return None
