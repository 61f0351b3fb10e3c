"""The threads of the team: started for the first job that needs them, ended with the process, renewed after a fork."""

import atexit
import ctypes
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, final

import numpy

from rmsprop._core.cpu import cores, team
from rmsprop._core.cpu.kernels import entry, live_forever, pool_words
from rmsprop._core.cpu.pools import POOL
from rmsprop._core.cpu.system import System, system
from rmsprop._core.run import SMALL

_TWO_WORDS: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)

#: Seconds between a thread that the system refuses and the next attempt, and limit of the wait for one that starts.
_PAUSE: Final = 1.0


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

    least = SMALL

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
        live_forever(self)  # threads of TensorFlow and XLA may lead jobs while the interpreter is taken down

    def words_at(self) -> int:
        """Return the address of the team as a pool, whose functions are compiled or loaded."""
        if not self._words[0]:
            self._words[: len(POOL)] = pool_words(entry("ask"), entry("take_back"), self.address)
        return self.address

    def have(self, helpers: int) -> None:
        """Start threads until there are so many, or the system refuses one."""
        if len(self._threads) >= min(helpers, team.MOST) or self._ended or time.monotonic() < self._again:
            return
        found = system()
        if found is None:
            return
        with self._starting:
            self._words[team.WAIT : team.HELPERS] = found.wait, *found.words
            while len(self._threads) < min(helpers, team.MOST) and not self._ended:
                if not self._start(found):
                    self._again = time.monotonic() + _PAUSE
                    break

    def _start(self, found: System) -> bool:
        number = int(self._words[team.HELPERS])
        if number == team.MOST:
            return False
        box = team.BOXES + team.BOX * number
        semaphore = box + team.HELPER + cores.SEMAPHORE
        thread = None
        try:
            if self._words[semaphore] == 0:
                handle, held = found.semaphore()
                self._held.append(held)
                self._words[semaphore] = handle
            # A daemon is not waited for at the end of the interpreter, which may begin meanwhile.
            arguments = self.address + 8 * box, self.address
            thread = threading.Thread(target=_functions()[0], args=arguments, name="rmsprop", daemon=True)
            thread.start()
            self._join(number, thread)
        except (OSError, RuntimeError):
            return False  # the system refuses, or the interpreter is shutting down
        except BaseException as error:
            if thread is not None:
                if thread.ident is None:
                    # Should it begin nevertheless, it ends at once. No other thread reads this mailbox: two must not.
                    self._words[box + team.MAIL] = team.END
                    self._words[team.HELPERS] = number + 1
                else:
                    self._join(number, thread)
            if isinstance(error, MemoryError):
                return False
            raise
        return True

    def _join(self, number: int, thread: threading.Thread) -> None:
        """Let leaders ask a thread that has started."""
        self._words[team.BOXES + team.BOX * number + team.HELPER + cores.THREAD] = thread.native_id or 0
        self._threads[number] = thread
        self._words[team.HELPERS] = number + 1

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
        self._words[team.HELPERS :] = 0
        self._threads, self._held, self._starting = {}, [], threading.Lock()


OUR_TEAM: Final = _Team()

atexit.register(OUR_TEAM.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OUR_TEAM.renew)
