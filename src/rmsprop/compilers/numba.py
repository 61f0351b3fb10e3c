"""The launches of the CPU kernels: tables that are filled in for a step and run by a few threads.

A `Launch` is made once for tensors that share storage and options, and used for many steps; a step writes addresses
and scalars into its tables and calls `run`. `SquareSums` does the same for the norms. Nothing of a parameter's size is
allocated. The caller's scratch memory is got when a launch is made, before a step writes anything: a step that runs out
of memory in its middle would leave a part of it done. A helper gets its own when it comes, and goes if there is none.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import numpy.ma  # Numba asks for it at its first call: a child forked meanwhile would wait for it for ever
from numpy.typing import NDArray

from rmsprop._core.cpu.memory import storage_tag
from rmsprop._core.rule import SCALARS
from rmsprop.compilers import _kernels
from rmsprop.compilers._layout import CHUNK, LANES, LINE, OPERANDS, PART, SCATTERED, Storage
from rmsprop.compilers._threads import Shared, Work

_Integers = NDArray[numpy.int64]
_Scratch = NDArray[Any] | None
_Places = tuple[_Integers, _Integers, _Integers]


class Launch:
    """The tables of one bucket.

    Args:
        sizes: numbers in each tensor.
        storage: how all of them are stored.
        operands: those of `OPERANDS` that are on.
        scalars: those of `rmsprop._core.rule.SCALARS` that are on.
        threads: how many may share the work; the results do not depend on it.
        scattered: whether variables or gradients are not contiguous; `scatter` then says where they are.
        sparse: whether all gradients have few rows and all variables are contiguous; `scatter` then says which rows.
        addresses: tables to use as `addresses`, for those operands that have one already.
        targets: likewise, operand -> int64 array: where results go, for all operands but the gradient; None: they take
            the operands' place.
        streamed: whether they are written past the caches, where all of them begin cache lines.

    Attributes:
        addresses: operand -> int64 array, a row a tensor; written by the caller before `run`.
        gradients: the one of the gradient.
        scalars: scalar -> array of the compute type, a row a tensor; likewise.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        storage: Storage,
        operands: Sequence[str],
        scalars: Sequence[str],
        threads: int,
        scattered: bool = False,
        sparse: bool = False,
        addresses: Mapping[str, _Integers] | None = None,
        targets: Mapping[str, _Integers] | None = None,
        streamed: bool = False,
    ) -> None:
        self._compute = storage.compute
        self._targets, self._streamed = dict(targets or {}), streamed
        self._length, self._sparse, self._scattered = SCATTERED if scattered else CHUNK, sparse, scattered
        self._streams = streamed
        self._mine = self._scratch()
        self._places: _Places | None = None
        self._sizes = numpy.array(sizes, numpy.int64)
        self._chunks = _chunk_table(self._sizes, self._length)
        self._shared = Shared(_work_of(self), self._chunks[0].size, threads)
        self.addresses = {name: numpy.zeros(len(sizes), numpy.int64) for name in operands} | dict(addresses or {})
        self.gradients = self.addresses["gradient"]
        self.scalars = {name: numpy.zeros(len(sizes), storage.compute) for name in scalars}
        self._arguments = (
            self._chunks,
            self._sizes,
            tuple(self.addresses.get(name) for name in OPERANDS),
            tuple((targets or {}).get(name) for name in OPERANDS[1:]),
            tuple(self.scalars.get(name) for name in SCALARS),
            tuple(storage_tag(dtype) for dtype in storage),
        )

    def scatter(self, layouts: _Integers, rows: _Integers, numbers: _Integers) -> None:
        """Tell where the numbers of this step are; see `rmsprop.compilers._scatter`."""
        self._places = layouts, rows, numbers

    def compile(self) -> None:
        """Compile the kernel or load it, and step nothing."""
        self._shared.compile()

    def run(self) -> None:
        """Do the step of every tensor in the bucket."""
        if self._streamed:
            self._streams = not any((table[self._sizes > 0] % LINE).any() for table in self._targets.values())
        self._shared.run()

    def _work(self, *draws: Any) -> None:
        leads = draws[1]
        gathered, parts = self._mine if leads else self._scratch()
        parts = parts if self._streams else None
        if self._places is None:
            _kernels.step(*draws, *self._arguments, parts)
        elif self._sparse:
            _kernels.step_rows(*draws, *self._arguments, *self._places[1:], gathered, parts)
        else:
            _kernels.step_scattered(*draws, *self._arguments, *self._places, gathered)

    def _scratch(self) -> tuple[_Scratch, _Scratch]:
        """Get memory for numbers that are gathered, and for those that are streamed, where there are any."""
        count = 2 * SCATTERED if self._scattered else CHUNK if self._sparse else 0
        gathered = numpy.empty(count, self._compute) if count else None
        return gathered, numpy.empty((len(OPERANDS) - 1, PART)) if self._streams else None


class SquareSums:
    """The sums of squares of gradients that are stored alike, in an order that threads and strides do not change.

    Args:
        sizes: numbers in each gradient.
        dtype: how they are stored.
        threads: how many may share the work.
        scattered: whether they are not contiguous; `scatter` then says where they are.

    Attributes:
        gradients: their addresses, int64, written by the caller before `run`.
    """

    def __init__(self, sizes: Sequence[int], dtype: numpy.dtype[Any], threads: int, scattered: bool) -> None:
        length = SCATTERED if scattered else CHUNK
        self._numbers = SCATTERED + LANES if scattered else LANES
        self._mine = numpy.empty(self._numbers)
        self._places: _Places | None = None
        table = numpy.array(sizes, numpy.int64)
        self._chunks = _chunk_table(table, length)
        self._shared = Shared(_work_of(self), self._chunks[0].size, threads)
        self._partial = numpy.zeros((self._chunks[0].size, length // CHUNK))
        self._sums = numpy.zeros(len(sizes))
        self.gradients = numpy.zeros(len(sizes), numpy.int64)
        dtypes = storage_tag(dtype), numpy.dtype(numpy.float64)
        self._arguments = self._chunks, table, self.gradients, dtypes

    def scatter(self, layouts: _Integers, rows: _Integers, numbers: _Integers) -> None:
        """Tell where the numbers of this step are; see `rmsprop.compilers._scatter`."""
        self._places = layouts, rows, numbers

    def run(self) -> NDArray[numpy.float64]:
        """Give the sum of each gradient's squares, in float64; the array is used again by the next call."""
        self._shared.run()
        _kernels.fold(self._partial, self._chunks[0], self._sums)
        return self._sums

    def _work(self, *draws: Any) -> None:
        leads = draws[1]
        scratch = self._mine if leads else numpy.empty(self._numbers)
        if self._places is None:
            _kernels.square_sums(*draws, *self._arguments, self._partial, scratch)
        else:
            _kernels.square_sums_scattered(*draws, *self._arguments, *self._places, self._partial, scratch)


def _work_of(launch: Launch | SquareSums) -> Work:
    """Give the work of a launch without holding it, as it holds this: without a cycle it goes when it is dropped."""
    find = weakref.ref(launch)

    def work(*draws: Any) -> None:
        found = find()
        if found is not None:  # else a helper came when all was over
            found._work(*draws)

    return work


def _chunk_table(sizes: _Integers, length: int) -> tuple[_Integers, _Integers]:
    """List every chunk's tensor and first element."""
    counts = -(-sizes // length)
    tensors = numpy.repeat(numpy.arange(sizes.size), counts)
    first = numpy.cumsum(counts) - counts
    return tensors, (numpy.arange(tensors.size) - first[tensors]) * length
