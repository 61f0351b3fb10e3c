"""Functions of C's library and of the system, by their addresses, which compiled code calls."""

import ctypes
import sys
from functools import cache
from typing import Any, Final, final

#: Bytes for a semaphore: more than any system needs.
_SEMAPHORE: Final = 128


def address_of(function: Any) -> int:
    """Return the address of a function of ctypes."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def library_function(name: str) -> int:
    """Return the address of a function of C's library."""
    return address_of(getattr(ctypes.CDLL("msvcrt" if sys.platform == "win32" else None), name))


@final
class System:
    """The system's semaphores: the addresses of functions for `rmsprop._core.cpu.words.call_system`.

    Attributes:
        wait: sleeps until a post; its arguments are a handle and -1, on Windows and macOS a wait without end.
        words: those of `rmsprop._core.cpu.cores`. The first wakes one sleeper; its arguments are a handle and 1, on
            Windows the number of posts. The others are Linux's for threads and their cores, 0 elsewhere.
    """

    def __init__(self) -> None:
        if sys.platform == "win32":
            library = ctypes.WinDLL("kernel32")
            names = "WaitForSingleObject", "ReleaseSemaphore"
        else:
            library = ctypes.CDLL(None)
            names = ("sem_wait", "sem_post")
            if sys.platform == "darwin":  # which has no unnamed semaphores of POSIX's
                names = "dispatch_semaphore_wait", "dispatch_semaphore_signal"
        self._library = library
        self.wait, post = (address_of(getattr(library, name)) for name in names)
        self.words = post, *_of_threads(library)

    def semaphore(self) -> tuple[int, Any]:
        """Make a semaphore; return its handle, and what must live as long as it."""
        library, memory = self._library, None
        if sys.platform == "win32":
            library.CreateSemaphoreW.restype = ctypes.c_void_p
            handle = library.CreateSemaphoreW(None, 0, 0x7FFFFFFF, None)
        elif sys.platform == "darwin":
            library.dispatch_semaphore_create.restype = ctypes.c_void_p
            library.dispatch_semaphore_create.argtypes = [ctypes.c_long]
            handle = library.dispatch_semaphore_create(0)
        else:
            memory = ctypes.create_string_buffer(_SEMAPHORE)
            handle = 0 if library.sem_init(memory, 0, 0) else ctypes.addressof(memory)
        if not handle:
            raise OSError("no semaphore")
        return handle, memory


def _of_threads(library: Any) -> list[int]:
    """Return the addresses of Linux's functions for threads and their cores; zeros if one of them is not there."""
    names = "sched_getcpu", "sched_getaffinity", "sched_setaffinity", "clock_gettime"
    if sys.platform == "linux" and all(hasattr(library, name) for name in names):
        return [address_of(getattr(library, name)) for name in names]
    return [0] * len(names)


@cache
def system() -> System | None:
    """Return the system's semaphores; None if it has no known ones: then the leader of a job does all of it."""
    try:
        return System()
    except (OSError, AttributeError):
        return None


@cache
def yields() -> int:
    """Return the address of what lets other threads run."""
    if sys.platform == "win32":
        return address_of(ctypes.WinDLL("kernel32").SwitchToThread)
    return address_of(ctypes.CDLL(None).sched_yield)
