"""A few threads that help with a kernel's chunks.

Numba's own parallel loops are not used: their OpenMP layer kills a forked child and their workqueue layer aborts
when two threads of the caller's program call at once. Ordinary Python threads are asked to help: they call the same
kernel, which releases the interpreter's lock and draws chunks (`rmsprop.compilers._turns`). The caller does whatever
they do not come in time for, so several optimizers may step at once with the same threads.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

import numpy
from numpy.typing import NDArray

from rmsprop.compilers._layout import HELPING, WORDS

#: Chunks below which waking another thread costs more than it saves.
SMALL: Final = 16

#: How often a thread draws: more often evens out a thread that the system held up.
_DRAWS: Final = 16

#: Seconds between two looks at helpers whom the system holds up.
_PAUSE: Final = 2e-5

#: What each thread calls: with the words that they have in common, whether it leads, the number of the run, how many
#: chunks there are, and how many of them to draw at a time.
Work = Callable[[NDArray[numpy.int64], bool, int, int, int], object]


from rmsprop._core.switches import default_threads as default_threads  # noqa: E402


class Shared:
    """Work on chunks that threads share, done as often as it is run.

    Args:
        work: draws chunks and does them, as `rmsprop.compilers._turns.drawn` does.
        chunks: how many there are.
        threads: how many may share them.
    """

    def __init__(self, work: Work, chunks: int, threads: int) -> None:
        self._work, self._chunks, self._runs = work, chunks, 0
        self._helpers = threads - 1 if chunks >= SMALL else 0
        self._some = max(1, chunks // (threads * _DRAWS))
        self._begin()

    def _begin(self) -> None:
        self._turns = numpy.zeros(WORDS, numpy.int64)
        self._asked: deque[None] = deque()
        self._team = _team  # last: whether all of this was done

    def compile(self) -> None:
        """Let the work do no chunk."""
        self._work(self._turns, True, 0, 0, 1)

    def run(self) -> None:
        """Do all chunks. Whatever happens, nobody works on when this returns or raises: the memory may be gone then."""
        if self._team is not _team:
            # Helpers of the process that this one was forked from have not been here, and will not leave.
            self._begin()
        self._runs += 1
        if self._helpers:
            self._ask()
        try:
            self._work(self._turns, True, self._runs, self._chunks, self._some)
            if self._turns[HELPING]:
                self._wait()
        except BaseException:
            self._wait()  # also where the interrupt came before, or between two looks
            raise

    def _ask(self) -> None:
        """Ask for help; those who were asked before and have not come will come to this run."""
        try:
            for _ in range(self._helpers - len(self._asked)):
                self._asked.append(None)
                if not _team.ask(self._help, self._helpers):
                    self._asked.pop()
                    break
        except MemoryError:
            self._asked.clear()
        except BaseException:
            # Whether one was asked is not known. Better one more is asked the next time than none for ever.
            self._asked.clear()
            raise

    def _help(self) -> None:
        with suppress(IndexError):
            self._asked.pop()
        # What the work needs besides is looked up after the number: if it is another run's by then, so is the number.
        self._work(self._turns, False, self._runs, self._chunks, self._some)

    def _wait(self) -> None:
        """Wait for helpers whom the system holds up; an interrupt meanwhile is raised after that."""
        interrupt: BaseException | None = None
        while self._turns[HELPING]:
            try:
                time.sleep(_PAUSE)
            except BaseException as raised:
                interrupt = raised
        if interrupt is not None:
            raise interrupt


class _Team:
    """Threads that wait to be asked for help."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended = False

    def ask(self, help: Callable[[], None], helpers: int) -> bool:
        """Have `help` called by one of so many threads; give whether there are any."""
        while len(self._threads) < helpers and not self._ended:
            thread = None
            try:
                # Nobody waits for it at the end of the interpreter, which may begin while it is asked.
                thread = threading.Thread(target=self._serve, name="rmsprop", daemon=True)
                self._threads.append(thread)
                thread.start()
            except BaseException as error:
                # One that runs nevertheless, after an interrupt, enters itself.
                if thread is not None and thread.ident is None and thread in self._threads:
                    self._threads.remove(thread)
                if not isinstance(error, RuntimeError | MemoryError):
                    raise
                break  # the system gives no more, or the interpreter is shutting down
        if self._ended or not self._threads:
            return False
        self._asked.put(help)
        return True

    def _serve(self) -> None:
        me = threading.current_thread()
        if me not in self._threads:
            self._threads.append(me)
        while (help := self._asked.get()) is not None:
            try:
                help()
            except Exception:
                # It had no memory to work with: the caller does what it does not.
                continue
            finally:
                del help
        self._asked.put(None)  # for the next one, however many there are

    def end(self) -> None:
        """Let all threads come to their end."""
        self._ended = True
        self._asked.put(None)
        for thread in [*self._threads]:
            if thread.ident is not None:
                thread.join()


_team = _Team()


def _renew() -> None:
    global _team
    _team = _Team()


# A daemon thread that wakes while the interpreter is taken down may crash it.
atexit.register(lambda: _team.end())
if hasattr(os, "register_at_fork"):
    # A forked child has the team's object but none of its threads.
    os.register_at_fork(after_in_child=_renew)
