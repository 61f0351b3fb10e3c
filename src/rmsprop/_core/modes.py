"""The floating-point mode of a thread for NumPy's computations: without flushing of subnormal numbers to zero.

TensorFlow and XLA set the threads of their operations to flush, `torch.set_flush_denormal` the caller's. A step has the
same numbers on any thread, so it turns flushing off and restores it. Kernels do that themselves
(`rmsprop._core.cpu.modes`).
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

_SMALLEST: Final = sys.float_info.min

#: Bytes for an `fenv_t`; the largest of all machines has about 50.
_BYTES: Final = 512

#: What C's `FE_DFL_ENV` is on Linux.
_DEFAULT: Final = -1


def flushes() -> bool:
    """Whether this thread flushes subnormal numbers, and this can be turned off."""
    # Either the result is flushed, or what it is compared with.
    return _SMALLEST * 0.5 == 0.0 and _library() is not None


@contextmanager
def exact() -> Iterator[None]:
    """Compute with subnormal numbers on this thread, rounding to nearest, within a ``with`` block."""
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
    """Return C's library of the floating-point environment; None where its effect on flushing is not known."""
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
