"""Jobs whose kernel counts how often each piece is done, and waits in each while a gate is closed."""

import time
from typing import NamedTuple

import numpy
from numba.core.caching import NullCache

from rmsprop._core.cpu.pieces import over_pieces
from rmsprop._core.cpu.target import CFunction, part
from rmsprop._core.cpu.words import add_shared, read, read_column, read_shared
from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.run import Run
from rmsprop._core.tables import CHUNK, COUNTERS, HEAD, JOB, ROW, WHERE, Storage

_WHERE, _TENSORS, _TENSOR = HEAD.index("where"), HEAD.index("tensors"), ROW.index("tensor")
_DONE, _GATE = WHERE.index("gradient"), WHERE.index("variable")

#: Words of the gate: whether it is open, and how many threads are at a piece.
_OPEN, _INSIDE = 0, 1


class _Key(NamedTuple):
    work: str = "count"


def _do(head, row, start, count, scratch):
    where, stride = head + read(head, _WHERE) + 8 * read(row, _TENSOR), read(head, _TENSORS)
    done, gate = read_column(where, _DONE, stride), read_column(where, _GATE, stride)
    add_shared(gate + 8 * _INSIDE, 1)
    while read_shared(gate + 8 * _OPEN) == 0:
        pass
    add_shared(done + 8 * (start // CHUNK), 1)
    add_shared(gate + 8 * _INSIDE, -1)


_kernel = CFunction(over_pieces(_Key(), part(_do)), "void(int64)", NullCache())


class Counting:
    """A run of one launch that counts.

    Args:
        pieces: how many there are.
        threads: how many may share them.
        is_open: whether the gate is open.
        pool: whose threads help; None: those of this package.

    Attributes:
        done: how often each piece was done.
        run: what does them.
        job: the words of its job.
    """

    def __init__(self, pieces, threads=1, is_open=True, pool=None):
        single = numpy.dtype(numpy.float32)
        on = ("variable", "velocity", "learning_rate", "rho", "rho_c", "epsilon")
        self.run = Run(Plan([Tensor(pieces * CHUNK, Storage(single, single, single, single), on)]), threads)
        self.run.compile(pool)
        self.done, self._gate = numpy.zeros(pieces, numpy.int64), numpy.array([is_open, 0], numpy.int64)
        self.run.where["gradient"][0], self.run.where["variable"][0] = self.done.ctypes.data, self._gate.ctypes.data
        self.job = self.run.words[self.run.plan.begin("steps") :]
        self.job[COUNTERS + JOB.index("kernel")] = _kernel.address

    @property
    def address(self):
        """Where the job is."""
        return self.job.ctypes.data

    def come(self):
        """Work on the job as a helper does."""
        _kernel.ctypes(self.address)

    def open(self):
        """Let threads go on."""
        self._gate[_OPEN] = 1

    def wait_for(self, threads):
        """Wait until so many threads are at a piece, behind the closed gate."""
        wait_until(lambda: self._gate[_INSIDE] == threads)


def wait_until(condition):
    """Wait for what another thread does."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
