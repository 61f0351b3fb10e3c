"""The threads of the team: started for the first job that needs them, ended with the process, renewed after a fork."""

import atexit
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, final

import numpy

from rmsprop._core.cpu import team
from rmsprop._core.cpu.kernels import entry

_TWO_WORDS: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)

#: Seconds between a thread that the system refuses and the next attempt, and limit of the wait for one that starts.
_PAUSE: Final = 1.0

#: Bytes for a semaphore: more than any system needs.
_SEMAPHORE: Final = 128


@final
class _System:
    """The system's semaphores: the addresses of functions for `rmsprop._core.cpu.words.call_system`.

    Attributes:
        wait: sleeps until a post; its arguments are a handle and -1, on Windows and macOS a wait without end.
        post: wakes one sleeper; its arguments are a handle and 1, on Windows the number of posts.
        yields: lets other threads run.
    """

    def __init__(self) -> None:
        if sys.platform == "win32":
            library = ctypes.WinDLL("kernel32")
            names = "WaitForSingleObject", "ReleaseSemaphore", "SwitchToThread"
        else:
            library = ctypes.CDLL(None)
            names = ("sem_wait", "sem_post", "sched_yield")
            if sys.platform == "darwin":  # which has no unnamed semaphores of POSIX's
                names = "dispatch_semaphore_wait", "dispatch_semaphore_signal", "sched_yield"
        self._library = library
        self.wait, self.post, self.yields = (_address(getattr(library, name)) for name in names)

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


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _system() -> _System | None:
    """Return the system's semaphores; None if it has no known ones: then the leader of a job does all of it."""
    try:
        return _System()
    except (OSError, AttributeError):
        return None


@cache
def _functions() -> tuple[Callable[[int, int], None], Callable[[int, int], None]]:
    """Return what a helper calls, and what ends one: found early, as nothing is compiled at the end of the process."""
    return _TWO_WORDS(entry("serve")), _TWO_WORDS(entry("dismiss"))


@final
class _Team:
    """Helpers, and their mailboxes as `rmsprop._core.cpu.team` reads them.

    Attributes:
        address: of the team's words, the same until the process ends, and in its forked children.
    """

    def __init__(self) -> None:
        words = team.BOXES + team.MOST * team.BOX
        memory = numpy.zeros(words + 8, numpy.int64)
        self._words = memory[-memory.ctypes.data // 8 % 8 :][:words]  # from the beginning of a cache line
        self.address = self._words.ctypes.data
        self._threads: dict[int, threading.Thread] = {}  # by the numbers of their mailboxes
        self._held: list[Any] = []  # the memory of semaphores
        self._starting = threading.Lock()
        self._again = 0.0  # when to try the next thread, after the system has refused one
        self._ended = False

    def have(self, helpers: int) -> None:
        """Start threads until there are so many, or the system refuses one."""
        if len(self._threads) >= min(helpers, team.MOST) or self._ended or time.monotonic() < self._again:
            return
        system = _system()
        if system is None:
            return
        with self._starting:
            self._words[[team.WAIT, team.POST, team.YIELD]] = system.wait, system.post, system.yields
            while len(self._threads) < min(helpers, team.MOST) and not self._ended:
                if not self._start(system):
                    self._again = time.monotonic() + _PAUSE
                    break

    def _start(self, system: _System) -> bool:
        number = int(self._words[team.HELPERS])
        if number == team.MOST:
            return False
        box = team.BOXES + team.BOX * number
        thread = None
        try:
            if self._words[box + team.HANDLE] == 0:
                handle, held = system.semaphore()
                self._held.append(held)
                self._words[box + team.HANDLE] = handle
            # A daemon is not waited for at the end of the interpreter, which may begin meanwhile.
            arguments = self.address + 8 * box, self.address
            thread = threading.Thread(target=_functions()[0], args=arguments, name="rmsprop", daemon=True)
            thread.start()
            self._threads[number] = thread
            self._words[team.HELPERS] = number + 1
        except (OSError, RuntimeError):
            return False  # the system refuses, or the interpreter is shutting down
        except BaseException as error:
            if thread is not None:
                if thread.ident is None:
                    # Should it begin nevertheless, it ends at once. No other thread reads this mailbox: two must not.
                    self._words[box + team.MAIL] = team.END
                else:
                    self._threads[number] = thread
                self._words[team.HELPERS] = number + 1
            if isinstance(error, MemoryError):
                return False
            raise
        return True

    def end(self) -> None:
        """End all threads: one that wakes while the interpreter is taken down may crash it."""
        self._ended = True
        # Another thread may be starting one: it is waited for, up to a limit.
        held = self._starting.acquire(timeout=_PAUSE)
        self._words[team.HELPERS] = 0
        while self._threads:
            number, thread = self._threads.popitem()
            _functions()[1](self.address + 8 * (team.BOXES + team.BOX * number), self.address)
            thread.join()
        if held:
            self._starting.release()

    def renew(self) -> None:
        """Start again in a forked child, which has none of the threads."""
        self._words[:] = 0
        self._threads, self._held, self._starting = {}, [], threading.Lock()


THE_TEAM: Final = _Team()

atexit.register(THE_TEAM.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THE_TEAM.renew)
