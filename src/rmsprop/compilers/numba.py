"""The launch of the CPU kernels: the tables of one bucket, filled in for a step and run by a few threads.

A `Launch` is made once for tensors that share storage and options, and used for many steps; a step writes addresses
and scalars into its tables and calls `run`. Nothing of a parameter's size is allocated.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop._rule import SCALARS
from rmsprop.compilers import _kernels
from rmsprop.compilers._kernels import CHUNK, LANES
from rmsprop.compilers._memory import storage_tag
from rmsprop.compilers._threads import share_out

_Integers = NDArray[numpy.int64]
_DType = numpy.dtype[Any]

#: The columns of addresses, in the kernels' order.
OPERANDS = ("gradient", "variable", "velocity", "momentum", "average_gradient", "average")

_DOUBLE = numpy.dtype(numpy.float64)


class Storage(NamedTuple):
    """How the numbers of a bucket are stored, and the type they are computed in."""

    gradient: _DType
    variable: _DType
    slots: _DType
    compute: _DType


class Scattered(NamedTuple):
    """Where the numbers of tensors lie that are not contiguous; see `rmsprop.compilers._scatter`."""

    layouts: _Integers
    rows: _Integers
    numbers: _Integers


class Launch:
    """The tables of one bucket.

    Args:
        sizes: numbers in each tensor.
        storage: how all of them are stored.
        operands: those of `OPERANDS` that are on.
        scalars: those of `rmsprop._rule.SCALARS` that are on.

    Attributes:
        addresses: operand -> int64 array, a row a tensor; written by the caller before `run`.
        scalars: scalar -> array of the compute type, a row a tensor; likewise.
        scattered: None where variables and gradients are contiguous.
    """

    def __init__(
        self, sizes: Sequence[int], storage: Storage, operands: Sequence[str], scalars: Sequence[str]
    ) -> None:
        self.storage = storage
        self.scattered: Scattered | None = None
        self._sizes = numpy.array(sizes, numpy.int64)
        self._chunks = _chunk_table(self._sizes)
        self._count = self._chunks[0].size
        self.addresses = {name: numpy.zeros(len(sizes), numpy.int64) for name in operands}
        self.scalars = {name: numpy.zeros(len(sizes), storage.compute) for name in scalars}
        self._dtypes = tuple(storage_tag(dtype) for dtype in storage)
        self._arguments = (
            self._chunks,
            self._sizes,
            tuple(self.addresses.get(name) for name in OPERANDS),
            tuple(self.scalars.get(name) for name in SCALARS),
            self._dtypes,
        )

    def run(self, threads: int) -> None:
        """Do the step of every tensor in the bucket."""
        arguments = self._arguments
        if self.scattered is None:
            share_out(lambda first, last: _kernels.step(first, last, *arguments), self._count, threads)
            return
        layouts, rows, numbers = self.scattered

        def work(first: int, last: int) -> None:
            scratch = numpy.empty(2 * CHUNK, self.storage.compute)
            _kernels.step_scattered(first, last, *arguments, layouts, rows, numbers, scratch)

        share_out(work, self._count, threads)

    def square_sums(self, threads: int) -> NDArray[numpy.float64]:
        """Sum the squares of each tensor's gradient in float64, in an order that threads do not change."""
        partial = numpy.zeros(self._count)
        arguments = self._chunks, self._sizes, self.addresses["gradient"], (self._dtypes[0], _DOUBLE)

        def work(first: int, last: int) -> None:
            if self.scattered is None:
                _kernels.square_sums(first, last, *arguments, partial, numpy.empty(LANES))
            else:
                scratch = numpy.empty(CHUNK + LANES)
                _kernels.square_sums_scattered(first, last, *arguments, *self.scattered, partial, scratch)

        share_out(work, self._count, threads)
        sums = numpy.zeros(self._sizes.size)
        _kernels.fold(partial, self._chunks[0], sums)
        return sums


def _chunk_table(sizes: _Integers) -> tuple[_Integers, _Integers]:
    """List every chunk's tensor and first element."""
    counts = -(-sizes // CHUNK)
    tensors = numpy.repeat(numpy.arange(sizes.size), counts)
    first = numpy.cumsum(counts) - counts
    return tensors, (numpy.arange(tensors.size) - first[tensors]) * CHUNK
