"""How a kernel goes through its job: it claims pieces until none is left, and finds the tensors of each.

The elements of all tensors of a launch are numbered together, so that a piece is a part of a tensor or several small
ones. Pieces are independent: the bits do not depend on the thread of a piece.
"""

import hashlib
from typing import Any

from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.words import add_shared, greater, less, read
from rmsprop._core.tables import ARRIVED, COUNTERS, FINISHED, HEAD, JOB, NEXT, ROW, columns

_NEXT, _FINISHED, _ARRIVED = 8 * NEXT, 8 * FINISHED, 8 * ARRIVED
_PIECES, _BATCH, _LENGTH, _HEAD, _ROWS, _ROW_TABLE = (
    COUNTERS + number for number in columns(JOB, "pieces", "batch", "length", "head", "rows", "row_table")
)
_BEGIN, _SIZE = columns(ROW, "begin", "size")
_WIDTH = 8 * len(ROW)
_SCRATCH, _BYTES = columns(HEAD, "scratch", "scratch_bytes")


def name_of(key: Any) -> str:
    """Return a name that no other kernel has."""
    return f"{key.work}_{hashlib.sha256(repr(tuple(key)).encode()).hexdigest()[:16]}"


def over_pieces(key: Any, do: Any) -> Any:
    """Return a kernel: a function of a job's address.

    Args:
        key: of the kernel.
        do: steps or sums elements `start` to ``start + count`` of a row's tensor; its arguments are the head, the row,
            `start`, `count` and scratch memory of this thread, all addresses or numbers. A part of the kernel.
    """

    def kernel(job):
        pieces, batch, length = read(job, _PIECES), read(job, _BATCH), read(job, _LENGTH)
        first = add_shared(job + _NEXT, batch)
        if first < pieces:
            mode = compute_exactly()
            head = job + read(job, _HEAD)
            table, rows = head + read(job, _ROW_TABLE), read(job, _ROWS)
            scratch = head + read(head, _SCRATCH) + add_shared(job + _ARRIVED, 1) * read(head, _BYTES)
            while first < pieces:
                last = less(first + batch, pieces)
                for piece in range(first, last):
                    begin, end = piece * length, (piece + 1) * length
                    # The last row that begins at or before the piece, by bisection.
                    number, beyond = 0, rows
                    while beyond - number > 1:
                        middle = (number + beyond) // 2
                        if read(table + _WIDTH * middle, _BEGIN) <= begin:
                            number = middle
                        else:
                            beyond = middle
                    while number < rows:
                        row = table + _WIDTH * number
                        origin = read(row, _BEGIN)
                        if origin >= end:
                            break
                        start = greater(0, begin - origin)
                        stop = less(read(row, _SIZE), end - origin)
                        if start < stop:
                            do(head, row, start, stop - start, scratch)
                        number += 1
                add_shared(job + _FINISHED, last - first)
                first = add_shared(job + _NEXT, batch)
            restore(mode)

    # Compiled code finds functions by their names, also the code of another process in the cache.
    kernel.__name__ = kernel.__qualname__ = name_of(key)
    return kernel
