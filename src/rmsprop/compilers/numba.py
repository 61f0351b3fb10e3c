"""The launch of the CPU kernels: the tables of one bucket, filled in for a step and run by a few threads.

A `Launch` is made once for tensors that share storage and options, and used for many steps; a step writes addresses
and scalars into its tables and calls `run`. Nothing of a parameter's size is allocated.
"""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from rmsprop._rule import SCALARS
from rmsprop.compilers import _kernels
from rmsprop.compilers._layout import CHUNK, LANES, OPERANDS, Storage
from rmsprop.compilers._memory import storage_tag
from rmsprop.compilers._threads import share_out

_Integers = NDArray[numpy.int64]
_DOUBLE = numpy.dtype(numpy.float64)


class Launch:
    """The tables of one bucket.

    Args:
        sizes: numbers in each tensor.
        storage: how all of them are stored.
        operands: those of `OPERANDS` that are on.
        scalars: those of `rmsprop._rule.SCALARS` that are on.
        threads: how many may share the work; the results do not depend on it.

    Attributes:
        addresses: operand -> int64 array, a row a tensor; written by the caller before `run`.
        scalars: scalar -> array of the compute type, a row a tensor; likewise.
    """

    def __init__(
        self, sizes: Sequence[int], storage: Storage, operands: Sequence[str], scalars: Sequence[str], threads: int
    ) -> None:
        self._threads = threads
        self._compute = storage.compute
        self._scattered: tuple[_Integers, _Integers, _Integers] | None = None
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

    def scatter(self, layouts: _Integers, rows: _Integers, numbers: _Integers) -> None:
        """Tell where the numbers of tensors lie that are not contiguous; see `rmsprop.compilers._scatter`."""
        self._scattered = layouts, rows, numbers

    def run(self) -> None:
        """Do the step of every tensor in the bucket."""
        arguments, scattered = self._arguments, self._scattered

        def work(first: int, last: int) -> None:
            if scattered is None:
                _kernels.step(first, last, *arguments)
            else:
                scratch = numpy.empty(2 * CHUNK, self._compute)
                _kernels.step_scattered(first, last, *arguments, *scattered, scratch)

        share_out(work, self._count, self._threads)

    def square_sums(self) -> NDArray[numpy.float64]:
        """Sum the squares of each tensor's gradient in float64, in an order that threads do not change."""
        partial = numpy.zeros(self._count)
        scattered = self._scattered
        arguments = self._chunks, self._sizes, self.addresses["gradient"], (self._dtypes[0], _DOUBLE)

        def work(first: int, last: int) -> None:
            if scattered is None:
                _kernels.square_sums(first, last, *arguments, partial, numpy.empty(LANES))
            else:
                scratch = numpy.empty(CHUNK + LANES)
                _kernels.square_sums_scattered(first, last, *arguments, *scattered, partial, scratch)

        share_out(work, self._count, self._threads)
        sums = numpy.zeros(self._sizes.size)
        _kernels.fold(partial, self._chunks[0], sums)
        return sums


def _chunk_table(sizes: _Integers) -> tuple[_Integers, _Integers]:
    """List every chunk's tensor and first element."""
    counts = -(-sizes // CHUNK)
    tensors = numpy.repeat(numpy.arange(sizes.size), counts)
    first = numpy.cumsum(counts) - counts
    return tensors, (numpy.arange(tensors.size) - first[tensors]) * CHUNK
