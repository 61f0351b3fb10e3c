"""A step by our kernels, within a graph on the CPU: read the variables, compute new values in new memory, assign them.

Values that somebody has read stay as they are, because nothing is written to but fresh blocks. The step is cut into
buckets of some MiB, each an operation of its own: several run at a time, and the memory that one bucket's old values
leave is where the next bucket's new values go, while it still is in the caches. A norm that clips is one operation
before them.
"""

import ctypes
from collections.abc import Callable, Sequence
from itertools import groupby
from math import prod
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf
from numpy.typing import NDArray

from rmsprop._options import Options
from rmsprop._rows import RowSparse
from rmsprop.compilers._layout import OPERANDS, Storage
from rmsprop.compilers._threads import default_threads
from rmsprop.compilers.numba import Launch, SquareSums
from rmsprop.engines._kinds import dense_layouts, row_tables
from rmsprop.engines._scalars import changing, clip_scales, constants, storage_of
from rmsprop.engines.tensorflow._items import Item, numpy_dtype
from rmsprop.engines.tensorflow._operation import Call, Pool, Result

_Integers = NDArray[numpy.int64]

#: Bytes of results from which a bucket is full.
BUCKET: Final = 64 << 20

#: Bytes of a step's results from which they are written past the caches, which would not hold them to the next step.
STREAMED: Final = 24 << 20


def step(options: Options, pool: Pool, items: Sequence[Item], learning_rate: Any, iterations: Any) -> None:
    """Add a step to the graph that is being traced.

    Args:
        options: the checked arguments.
        pool: where new values lie.
        items: what is stepped.
        learning_rate: a float64 tensor without axes.
        iterations: steps done before, an int64 tensor without axes.
    """
    scalars = [learning_rate, iterations]
    if options.clips_by_norm:
        scalars += _Norms(options, items).scales(pool)
    buckets = _buckets(options, items, pool)
    # All blocks are alike, so that each bucket's new values can lie where another's old ones were.
    largest = max(bucket.call.layout.size for bucket in buckets)
    pool.keep((len(buckets) + 1) * largest)
    done: list[Any] = []
    for bucket in buckets:
        bucket.call.layout.resize(largest)
        # Otherwise all new values might be computed before the first old one is let go.
        with tf.control_dependencies(done):
            done = bucket.step(scalars)


class _Bucket:
    """Tensors of one launch; `places` says where they stand among the step's items."""

    def __init__(
        self,
        options: Options,
        storage: Storage,
        decays: bool,
        streamed: bool,
        places: Sequence[int],
        items: Sequence[Item],
        pool: Pool,
    ) -> None:
        self._options, self._places = options, list(places)
        self._items = [items[place] for place in places]
        self._operands = [name for name in OPERANDS[1:] if name == "variable" or name in self._items[0].slots]
        fixed = constants(options, decays)
        sizes = [prod(item.variable.shape) for item in self._items]
        self._sparse = self._items[0].sparse
        scalars = [*fixed, *changing(options)]
        self._launch = Launch(
            sizes, storage, ["gradient", *self._operands], scalars, default_threads(), self._sparse,
            separate=True, streamed=streamed,
        )  # fmt: skip
        for name, value in fixed.items():
            self._launch.scalars[name].fill(value)
        self._rows = _Rows(self._items, storage.gradient, numpy.dtype(storage.variable)) if self._sparse else None
        self._owners = [item.owner(name) for name in self._operands for item in self._items]
        results = [Result(owner.dtype, tuple(owner.shape)) for owner in self._owners]
        self.call = Call(results, self._work, pool)

    def step(self, scalars: Sequence[Any]) -> list[Any]:
        """Add the bucket's part of the step to the graph, and give the operations after which it is done."""
        inputs = [*scalars, *_gradients(self._items), *map(_read, self._owners)]
        self._before = len(scalars)
        return [
            tf.raw_ops.AssignVariableOp(resource=owner.handle, value=value)
            for owner, value in zip(self._owners, self.call(inputs), strict=True)
        ]

    def _work(self, inputs: _Integers, sizes: _Integers, outputs: _Integers) -> None:
        launch, count = self._launch, len(self._items)
        _set_scalars(launch, self._options, inputs, sizes, self._places)
        begin = self._before
        if self._rows is not None:
            kept = self._rows.place(launch, launch.gradients, inputs, sizes, begin)
            begin += count
        else:
            kept = None
            launch.gradients[:] = inputs[begin : begin + count]
        begin += count
        for operand, name in enumerate(self._operands):
            first = begin + operand * count
            launch.addresses[name][:] = inputs[first : first + count]
            launch.targets[name][:] = outputs[operand * count : (operand + 1) * count]
        launch.run()
        del kept


def _set_scalars(launch: Launch, options: Options, inputs: _Integers, sizes: _Integers, places: Sequence[int]) -> None:
    launch.scalars["learning_rate"].fill(ctypes.c_double.from_address(int(inputs[0])).value)
    if "overwrite" in launch.scalars:
        launch.scalars["overwrite"].fill(options.overwrites(ctypes.c_int64.from_address(int(inputs[1])).value))
    if "clip_scale" in launch.scalars:
        scales = array_at(inputs[2], sizes[2], numpy.dtype(numpy.float64))
        launch.scalars["clip_scale"][:] = scales[places]


class _Norms:
    """The norms of all gradients, each kind of them by a launch of its own."""

    def __init__(self, options: Options, items: Sequence[Item]) -> None:
        self._options, self._items = options, items
        self._parts: list[tuple[list[int], SquareSums, _Rows | None]] = []

        def kind(place: int) -> tuple[bool, str]:
            return items[place].sparse, numpy_dtype(items[place].gradient.dtype).name

        for (sparse, _), group in groupby(sorted(range(len(items)), key=kind), key=kind):
            places = list(group)
            mine = [items[place] for place in places]
            dtype = numpy_dtype(mine[0].gradient.dtype)
            sums = SquareSums([prod(item.variable.shape) for item in mine], dtype, default_threads(), sparse)
            self._parts.append((places, sums, _Rows(mine, dtype, dtype) if sparse else None))

    def scales(self, pool: Pool) -> list[Any]:
        """Add the norms to the graph, and give what each gradient is multiplied by: a float64 tensor, an entry each."""
        inputs = []
        for places, _, _ in self._parts:
            inputs += _gradients([self._items[place] for place in places])
        return Call([Result(tf.float64, (len(self._items),))], self._work, pool)(inputs)

    def _work(self, inputs: _Integers, sizes: _Integers, outputs: _Integers) -> None:
        squares, begin = numpy.empty(len(self._items)), 0
        for places, sums, rows in self._parts:
            count, kept = len(places), None
            if rows is not None:
                kept = rows.place(sums, sums.gradients, inputs, sizes, begin)
                begin += count
            else:
                sums.gradients[:] = inputs[begin : begin + count]
            begin += count
            squares[places] = sums.run()
            del kept
        array_at(outputs[0], squares.nbytes, squares.dtype)[:] = clip_scales(self._options, squares)


class _Rows:
    """Where the gradients of few rows are: their values and row numbers are two inputs each."""

    def __init__(self, items: Sequence[Item], gradient: numpy.dtype[Any], variable: numpy.dtype[Any]) -> None:
        self._shapes = [tuple(item.variable.shape) for item in items]
        self._names = [item.variable.name for item in items]
        self._dtype = gradient
        self._indices = [numpy_dtype(item.gradient.indices.dtype) for item in items]
        self._layouts = dense_layouts(self._shapes, variable.itemsize)

    def place(
        self, launch: Launch | SquareSums, gradients: _Integers, inputs: _Integers, sizes: _Integers, begin: int
    ) -> Any:
        """Tell a launch where they are this time; what is returned must live until it has run."""
        count = len(self._shapes)
        found = []
        for place, shape in enumerate(self._shapes):
            values, indices = begin + place, begin + count + place
            rows = array_at(inputs[indices], sizes[indices], self._indices[place])
            numbers = array_at(inputs[values], sizes[values], self._dtype).reshape(len(rows), *shape[1:])
            try:
                sparse = RowSparse(rows, numbers, shape)
            except ValueError as error:
                raise ValueError(f"the gradient of variable {self._names[place]}: {error}") from error
            found.append(RowSparse(*sparse.coalesce(), shape))
        gradients[:] = [one.values.ctypes.data for one in found]
        launch.scatter(self._layouts, *row_tables(found))
        return found


class _Kind(NamedTuple):
    storage: Storage
    decays: bool
    sparse: bool


def _buckets(options: Options, items: Sequence[Item], pool: Pool) -> list[_Bucket]:
    """Sort the items by what one launch serves, and cut that into buckets."""
    kinds: dict[_Kind, list[int]] = {}
    for place, item in enumerate(items):
        storage = storage_of(options, numpy_dtype(item.variable.dtype), numpy_dtype(item.gradient.dtype))
        # Values of half types are summed, and so come, in float32.
        if item.sparse and storage.gradient.itemsize == 2:
            storage = storage._replace(gradient=numpy.dtype(numpy.float32))
        kinds.setdefault(_Kind(storage, item.decays, item.sparse), []).append(place)
    streamed = sum(item.nbytes for item in items) >= STREAMED
    return [
        _Bucket(options, kind.storage, kind.decays, streamed, part, items, pool)
        for kind, places in kinds.items()
        for part in _cut(places, lambda place: items[place].nbytes)
    ]


def _cut(places: Sequence[int], nbytes: Callable[[int], int]) -> list[list[int]]:
    """Cut a list into parts of about the same bytes, at most about `BUCKET`."""
    total = sum(map(nbytes, places))
    size = total / max(1, -(-total // BUCKET))
    parts: list[list[int]] = [[]]
    filled = 0.0
    for place in places:
        if parts[-1] and filled + nbytes(place) / 2 > size:
            parts.append([])
            filled = 0.0
        parts[-1].append(place)
        filled += nbytes(place)
    return parts


def _gradients(items: Sequence[Item]) -> list[Any]:
    """List the tensors that the gradients are made of; the items are all sparse or all dense."""
    if items[0].sparse:
        return [item.gradient.values for item in items] + [item.gradient.indices for item in items]
    return [item.gradient for item in items]


def _read(variable: Any) -> Any:
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def array_at(address: int, size: int, dtype: numpy.dtype[Any]) -> NDArray[Any]:
    """Give memory as an array with one axis."""
    if not size:
        return numpy.empty(0, dtype)
    memory: Any = (ctypes.c_char * int(size)).from_address(int(address))
    found: NDArray[Any] = numpy.frombuffer(memory, dtype)
    return found
