"""A step by our kernels, within a graph on the CPU: read the variables, compute new values in new memory, assign them.

Values that somebody has read stay as they are, because nothing is written to but fresh blocks. The step is cut into
buckets, each an operation of its own, one after the other: the memory that one bucket's old values leave is where the
next one's new values go. If there are several, a norm that clips, and a check of gradients that may yet turn out wrong,
are operations before them.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf
from numpy.typing import NDArray

from rmsprop._options import Options
from rmsprop.compilers._layout import OPERANDS, Storage
from rmsprop.compilers._threads import default_threads
from rmsprop.compilers.numba import Launch
from rmsprop.engines._scalars import changing, constants, storage_of
from rmsprop.engines.tensorflow._gradients import Gradients, Norms, array_at, check_sizes, tensors
from rmsprop.engines.tensorflow._items import Item, numpy_dtype
from rmsprop.engines.tensorflow._operation import Call, Pool, Result

_Integers = NDArray[numpy.int64]

#: Bytes of results from which a bucket is full.
BUCKET: Final = 64 << 20

#: Bytes of a step's results from which they are written past the caches, which would not hold them to the next step.
STREAMED: Final = 24 << 20

#: The tensors that every bucket gets first: learning rate and iterations.
_SCALARS: Final = 2


def step(options: Options, pool: Pool, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
    """Add a step to the graph that is being traced.

    Args:
        options: the checked arguments.
        pool: where new values lie.
        items: what is stepped.
        learning_rate: a float64 tensor without axes.
        iterations: steps done before, an int64 tensor without axes.

    Returns:
        The operations after which it is done.
    """
    norms = Norms(options, items) if options.clips_by_norm else None
    buckets = _buckets(options, items, pool)
    # All blocks are alike, so that each bucket's new values can lie where another's old ones were.
    largest = max(bucket.call.layout.size for bucket in buckets)
    pool.keep((len(buckets) + 1) * largest)
    for bucket in buckets:
        bucket.call.layout.resize(largest)
    scalars = [learning_rate, iterations]
    if len(buckets) == 1:
        # It finds by itself whatever it needs of all gradients.
        return buckets[0].step(scalars, norms)
    done: list[Any] = []
    if norms is not None:
        scalars += _add_norms(norms, len(items), pool).outputs
    else:
        done = _add_check(items, pool)
    for bucket in buckets:
        # Otherwise all new values might be computed before the first old one is let go.
        with tf.control_dependencies(done):
            done = bucket.step(scalars, None)
    return done


def _add_norms(norms: Norms, size: int, pool: Pool) -> Any:
    """Add an operation that gives what each gradient is multiplied by, in float64."""

    def work(inputs: _Integers, sizes: _Integers, outputs: _Integers) -> None:
        array_at(outputs[0], 8 * size, numpy.dtype(numpy.float64))[:] = norms.scales(inputs, sizes)

    return Call([Result(tf.float64, (size,))], work, pool)(norms.inputs)


def _add_check(items: Sequence[Item], pool: Pool) -> list[Any]:
    """Add an operation that refuses wrong row numbers and shapes before anything is assigned, if there may be any."""
    sparse = [item for item in items if item.sparse]
    open_ = [item for item in items if not item.sparse and not item.gradient.shape.is_fully_defined()]
    if not sparse and not open_:
        return []
    parts = [(Gradients([item]), tensors([item])) for item in (*sparse, *open_)]

    def work(inputs: _Integers, sizes: _Integers, outputs: _Integers) -> None:
        begin = 0
        for gradients, _ in parts:
            gradients.check(inputs[begin:], sizes[begin:])
            begin += gradients.inputs

    return [Call([], work, pool)([tensor for _, given in parts for tensor in given])]


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
        self._owners = [item.owner(name) for name in self._operands for item in self._items]
        self._gradients = Gradients(self._items)
        self._norms: Norms | None = None
        self._before = _SCALARS
        fixed = constants(options, decays)
        self._launch = Launch(
            [prod(item.variable.shape) for item in self._items],
            storage,
            ["gradient", *self._operands],
            [*fixed, *changing(options)],
            default_threads(),
            self._items[0].sparse,
            separate=True,
            streamed=streamed,
        )
        for name, value in fixed.items():
            self._launch.scalars[name].fill(value)
        state = [owner.dtype.size * prod(owner.shape) for owner in self._owners]
        self._expected = numpy.array(state, numpy.int64)
        results = [Result(owner.dtype, tuple(owner.shape)) for owner in self._owners]
        self.call = Call(results, self._work, pool)

    def step(self, scalars: Sequence[Any], norms: Norms | None) -> list[Any]:
        """Add the bucket's part of the step to the graph, and give the operations after which it is done.

        Args:
            scalars: learning rate, iterations, and what gradients are multiplied by, if that is known.
            norms: finds that out, if these are all gradients.
        """
        self._before, self._norms = len(scalars), norms
        operation = self.call([*scalars, *tensors(self._items), *map(_read, self._owners)])
        return [
            tf.raw_ops.AssignVariableOp(resource=owner.handle, value=value)
            for owner, value in zip(self._owners, operation.outputs, strict=True)
        ]

    def _work(self, inputs: _Integers, sizes: _Integers, outputs: _Integers) -> None:
        launch, count = self._launch, len(self._items)
        scalars, inputs = inputs[: self._before], inputs[self._before :]
        scalar_sizes, sizes = sizes[: self._before], sizes[self._before :]
        check_sizes(self._expected, sizes[self._gradients.inputs :], self._items)
        launch.scalars["learning_rate"].fill(array_at(scalars[0], 8, numpy.dtype(numpy.float64))[0])
        if "overwrite" in launch.scalars:
            done = array_at(scalars[1], 8, numpy.dtype(numpy.int64))[0]
            launch.scalars["overwrite"].fill(self._options.overwrites(int(done)))
        if self._norms is not None:
            launch.scalars["clip_scale"][:] = self._norms.scales(inputs, sizes)
        elif "clip_scale" in launch.scalars:
            given = array_at(scalars[_SCALARS], scalar_sizes[_SCALARS], numpy.dtype(numpy.float64))
            launch.scalars["clip_scale"][:] = given[self._places]
        held = self._gradients.place(launch, inputs, sizes)
        for operand, name in enumerate(self._operands):
            first = self._gradients.inputs + operand * count
            launch.addresses[name][:] = inputs[first : first + count]
            launch.targets[name][:] = outputs[operand * count : (operand + 1) * count]
        launch.run()
        del held


class _Kind(NamedTuple):
    storage: Storage
    decays: bool
    sparse: bool


def _buckets(options: Options, items: Sequence[Item], pool: Pool) -> list[_Bucket]:
    """Sort the items by what one launch serves, and cut that into buckets."""
    kinds: dict[_Kind, list[int]] = {}
    for place, item in enumerate(items):
        storage = storage_of(options, numpy_dtype(item.variable.dtype), Gradients([item]).dtype)
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


def _read(variable: Any) -> Any:
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
