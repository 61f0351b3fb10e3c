"""A small pool of threads that shares out a kernel's chunks.

Numba's own parallel loops are not used: their OpenMP layer kills a forked child and their workqueue layer aborts
when two threads of the caller's program call at once. Kernels here release the interpreter's lock and do a range of
chunks, so ordinary Python threads suffice, and several optimizers may step at the same time on one pool.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

#: Chunks below which waking another thread costs more than it saves.
SMALL = 16

#: Pieces a thread: more of them even out a thread that the system held up, each costs a few microseconds.
_PIECES = 4

_pool: ThreadPoolExecutor | None = None


def default_threads() -> int:
    """Threads that a step uses: ``RMSPROP_NUM_THREADS``, else the processors this process may use."""
    named = os.environ.get("RMSPROP_NUM_THREADS")
    if named is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not named.isascii() or not named.isdecimal() or int(named) < 1:
        raise ValueError(f"RMSPROP_NUM_THREADS={named!r} is not a whole number of at least 1")
    return int(named)


def share_out(work: Callable[[int, int], None], chunks: int, threads: int) -> None:
    """Call ``work(first, last)`` over all chunks, on the caller's thread and up to ``threads - 1`` others."""
    if threads == 1 or chunks < SMALL:
        work(0, chunks)
        return
    pieces = min(chunks, threads * _PIECES)
    bounds = [chunks * piece // pieces for piece in range(pieces + 1)]
    # The next piece to do: drawing from a count is one operation under the interpreter's lock.
    turn = count()

    def draw() -> None:
        while (piece := next(turn)) < pieces:
            work(bounds[piece], bounds[piece + 1])

    helpers = _start(draw, threads - 1)
    try:
        draw()
    finally:
        for helper in helpers:
            helper.result()


def _start(draw: Callable[[], None], helpers: int) -> list["Future[None]"]:
    global _pool
    try:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(64, default_threads()), thread_name_prefix="rmsprop")
        return [_pool.submit(draw) for _ in range(helpers)]
    except RuntimeError:
        # The interpreter is shutting down or may start no thread: the caller draws every piece itself.
        return []


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    # A forked child has the pool's object but none of its threads.
    os.register_at_fork(after_in_child=_forget)
