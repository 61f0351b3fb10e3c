"""Threads that flush subnormal numbers, as frameworks make them."""

import ctypes
import platform
import sys
from contextlib import contextmanager

import pytest

#: Where the MXCSR stands in glibc's `fenv_t`, and its bits: results and operands that are subnormal become zero.
_MXCSR, _FLUSH, _ZERO = 28, 0x8000, 0x0040

x86_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="how to make a thread flush is known for glibc on x86-64 only",
)


def flushed():
    """Whether this thread takes subnormal numbers for zero."""
    return sys.float_info.min * 0.5 == 0.0


@contextmanager
def flushing(bits=_FLUSH | _ZERO):
    """Let this thread flush; it must still do so at the end."""
    library = ctypes.CDLL("libm.so.6")
    before, new = (ctypes.create_string_buffer(512) for _ in range(2))
    library.fegetenv(before)
    library.fegetenv(new)
    ctypes.c_uint32.from_buffer(new, _MXCSR).value |= bits
    library.fesetenv(new)
    try:
        yield
        assert flushed(), "the thread's mode was not restored"
    finally:
        library.fesetenv(before)
