"""A small pool of threads that shares out a kernel's chunks.

Numba's own parallel loops are not used: their OpenMP layer kills a forked child and their workqueue layer aborts
when two threads of the caller's program call at once. Kernels here release the interpreter's lock and do a range of
chunks, so ordinary Python threads suffice, and several optimizers may step at the same time on one pool.
"""

import os
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: Chunks below which waking another thread costs more than it saves.
SMALL = 16

#: Pieces a thread: more of them even out a thread that the system held up, each costs a few microseconds.
_PIECES = 4

_pool: "ThreadPoolExecutor | None" = None


def default_threads() -> int:
    """Threads that a step uses: ``RMSPROP_NUM_THREADS``, else the processors this process may use."""
    named = os.environ.get("RMSPROP_NUM_THREADS")
    if named is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not named.isascii() or not named.isdecimal() or int(named) < 1:
        raise ValueError(f"RMSPROP_NUM_THREADS={named!r} is not a whole number of at least 1")
    return int(named)


def share_out(work: Callable[[int, int], None], chunks: int, threads: int) -> None:
    """Call ``work(first, last)`` over all chunks, on the caller's thread and up to ``threads - 1`` others.

    Whatever happens, no thread works on when this returns or raises: the memory may be gone then.
    """
    if threads == 1 or chunks < SMALL:
        work(0, chunks)
        return
    pieces = min(chunks, threads * _PIECES)
    bounds = [chunks * piece // pieces for piece in range(pieces + 1)]
    # The next piece to do: drawing from a count is one operation under the interpreter's lock.
    turn = count()
    failures: list[BaseException] = []

    def draw() -> None:
        try:
            while not failures and (piece := next(turn)) < pieces:
                work(bounds[piece], bounds[piece + 1])
        except BaseException as failure:
            failures.append(failure)

    helpers: list[Future[None]] = []
    try:
        _start(draw, threads - 1, helpers)
        draw()
    finally:
        _wait(helpers, failures)
    if failures:
        raise failures[0]


def _start(draw: Callable[[], None], count: int, helpers: "list[Future[None]]") -> None:
    global _pool
    try:
        # Imported when there is work to share: it brings `logging` along, for whose import nobody should wait.
        from concurrent.futures import Future, ThreadPoolExecutor

        if _pool is None:
            _pool = ThreadPoolExecutor(max(64, default_threads()), thread_name_prefix="rmsprop")
        for _ in range(count):
            # Listed before it is handed over: what the pool could not start a thread for, it may yet start later.
            helpers.append(Future())
            _pool.submit(_help, draw, helpers[-1])
    except (ImportError, RuntimeError):
        # The interpreter is shutting down or may start no thread: the caller draws the pieces that are left.
        pass


def _help(draw: Callable[[], None], helper: "Future[None]") -> None:
    if helper.set_running_or_notify_cancel():
        draw()
        helper.set_result(None)


def _wait(helpers: "list[Future[None]]", failures: list[BaseException]) -> None:
    """Wait for those that have begun and call off the others; an interrupt meanwhile is kept for later."""
    for helper in helpers:
        while not helper.cancel() and not helper.done():
            try:
                helper.result()
            except BaseException as failure:
                failures.append(failure)


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    # A forked child has the pool's object but none of its threads.
    os.register_at_fork(after_in_child=_forget)
