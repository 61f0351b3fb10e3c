"""A step by our kernels, within a graph on the CPU: read the variables, compute new values in new memory, assign them.

Values that somebody has read stay as they are, because nothing is written to but new tensors. The step is cut into
buckets, each an operation of its own, one after the other: the memory that one bucket's old values leave is where the
next one's new values may go. If there are several, a norm that clips, and a check of gradients that may yet turn out
wrong, are operations before them.
"""

import ctypes
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf

from rmsprop._core.options import Options
from rmsprop._core.scalars import changing, constants, storage_of
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import OPERANDS, Storage
from rmsprop._tensorflow.gradients import Gradients, Norms, array_at, norm_places, tensors
from rmsprop._tensorflow.items import Item, numpy_dtype
from rmsprop._tensorflow.operation import Call
from rmsprop._tensorflow.tables import Tensor
from rmsprop.compilers.numba import Launch

#: Bytes of results from which a bucket is full: that much memory a step needs for a while, and a part of its time is
#: lost between two of them.
BUCKET: Final = 256 << 20

#: Bytes of a step's results from which they are written past the caches, which would not hold them to the next step.
STREAMED: Final = 24 << 20

#: The tensors that every bucket gets first.
_SCALARS: Final = (
    Tensor(tf.float64, (), "the learning rate"),
    Tensor(tf.int64, (), "the number of steps done"),
)


def step(options: Options, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
    """Add a step to the graph that is being traced.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: a float64 tensor without axes.
        iterations: steps done before, an int64 tensor without axes.

    Returns:
        The operations after which it is done.
    """
    norms = Norms(options, items) if options.clips_by_norm else None
    parts = _parts(options, items)
    alone = len(parts) == 1
    given = list(_SCALARS) if norms is None or alone else [*_SCALARS, _scales_of(items)]
    streamed = sum(item.nbytes for item in items) >= STREAMED
    buckets = [_Bucket(options, kind, places, items, given, streamed) for kind, places in parts]
    scalars = [learning_rate, iterations]
    if alone:
        # It finds by itself whatever it needs of all gradients.
        return buckets[0].step(scalars, norms)
    done: list[Any] = []
    if norms is not None:
        scalars += _add_norms(norms, _scales_of(items)).outputs
    else:
        done = _add_check(items)
    for bucket in buckets:
        # Otherwise all new values might be computed before the first old one is let go.
        with tf.control_dependencies(done):
            done = bucket.step(scalars, None)
    return done


def count_launches(options: Options, items: Sequence[Item]) -> int:
    """Count the kernel calls of a step."""
    return len(_parts(options, items)) + (len(norm_places(items)) if options.clips_by_norm else 0)


def _scales_of(items: Sequence[Item]) -> Tensor:
    return Tensor(tf.float64, (len(items),), "what gradients are multiplied by")


def _add_norms(norms: Norms, scales: Tensor) -> Any:
    """Add an operation that gives what each gradient is multiplied by."""

    def work(call: Call) -> None:
        array_at(call.outputs[0], 8 * scales.shape[0], numpy.dtype(numpy.float64))[:] = norms.scales(
            call.inputs, call.lengths
        )

    return Call(norms.inputs, [scales], work)(norms.tensors)


def _add_check(items: Sequence[Item]) -> list[Any]:
    """Add an operation that refuses wrong row numbers and shapes before anything is assigned, if there may be any."""
    sparse = [item for item in items if item.sparse]
    open_ = [item for item in items if not item.sparse and not item.gradient.shape.is_fully_defined()]
    if not sparse and not open_:
        return []
    parts = [Gradients([item]) for item in (*sparse, *open_)]
    given = [tensor for item in (*sparse, *open_) for tensor in tensors([item])]

    def work(call: Call) -> None:
        for place, gradients in enumerate(parts[: len(sparse)]):
            gradients.rows(call.inputs[2 * place :], call.lengths[2 * place :])

    return [Call([one for gradients in parts for one in gradients.inputs], [], work)(given)]


class _Bucket:
    """Tensors of one launch; `places` says where they stand among the step's items."""

    def __init__(
        self,
        options: Options,
        kind: "_Kind",
        places: Sequence[int],
        items: Sequence[Item],
        scalars: Sequence[Tensor],
        streamed: bool,
    ) -> None:
        self._options, self._places, self._scalars = options, list(places), len(scalars)
        self._items = [items[place] for place in places]
        self._gradients = Gradients(self._items)
        self._norms: Norms | None = None
        operands = [name for name in OPERANDS[1:] if name == "variable" or name in self._items[0].slots]
        self._owners = [item.owner(name) for name in operands for item in self._items]
        self._state = len(scalars) + len(self._gradients.inputs)
        # The launch is of the variables' sizes, and of the types that the options say.
        state = [
            Tensor(kind.dtype_of(name), tuple(item.variable.shape), f"variable {item.owner(name).name!r}")
            for name in operands
            for item in self._items
        ]
        self.call = Call([*scalars, *self._gradients.inputs, *state], state, self._work)
        self._launch = self._make_launch(kind, operands, streamed)

    def _make_launch(self, kind: "_Kind", operands: Sequence[str], streamed: bool) -> Launch:
        count, call = len(self._items), self.call
        # What the operation is told of its inputs and outputs is what the launch is told.
        addresses, targets = (
            {name: table[operand * count : (operand + 1) * count] for operand, name in enumerate(operands)}
            for table in (call.inputs[self._state :], call.outputs)
        )
        if not kind.sparse:
            addresses["gradient"] = call.inputs[self._scalars : self._state]
        fixed = constants(self._options, kind.decays)
        launch = Launch(
            [prod(item.variable.shape) for item in self._items],
            kind.storage,
            ["gradient", *operands],
            [*fixed, *changing(self._options)],
            default_threads(),
            sparse=kind.sparse,
            addresses=addresses,
            targets=targets,
            streamed=streamed,
        )
        for name, value in fixed.items():
            launch.scalars[name].fill(value)
        return launch

    def step(self, scalars: Sequence[Any], norms: Norms | None) -> list[Any]:
        """Add the bucket's part of the step to the graph, and give the operations after which it is done.

        Args:
            scalars: learning rate, iterations, and what gradients are multiplied by, if that is known.
            norms: finds that out, if these are all gradients.
        """
        self._norms = norms
        operation = self.call([*scalars, *tensors(self._items), *map(_read, self._owners)])
        return [
            tf.raw_ops.AssignVariableOp(resource=owner.handle, value=value)
            for owner, value in zip(self._owners, operation.outputs, strict=True)
        ]

    def _work(self, call: Call) -> None:
        launch, scalars = self._launch, self._launch.scalars
        gradients, lengths = call.inputs[self._scalars : self._state], call.lengths[self._scalars : self._state]
        # Where dense ones are, the launch knows already.
        held = self._gradients.place(launch, gradients, lengths) if self._items[0].sparse else None
        scalars["learning_rate"].fill(ctypes.c_double.from_address(int(call.inputs[0])).value)
        if "overwrite" in scalars:
            done = ctypes.c_int64.from_address(int(call.inputs[1])).value
            scalars["overwrite"].fill(self._options.overwrites(done))
        if self._norms is not None:
            scalars["clip_scale"][:] = self._norms.scales(gradients, lengths)
        elif "clip_scale" in scalars:
            given = array_at(call.inputs[2], call.lengths[2], numpy.dtype(numpy.float64))
            scalars["clip_scale"][:] = given[self._places]
        launch.run()
        del held


class _Kind(NamedTuple):
    storage: Storage
    decays: bool
    sparse: bool

    def dtype_of(self, operand: str) -> Any:
        return tf.as_dtype(self.storage.variable if operand == "variable" else self.storage.slots)


def _parts(options: Options, items: Sequence[Item]) -> list[tuple[_Kind, list[int]]]:
    """Sort the items by what one launch serves, and cut that into buckets."""
    kinds: dict[_Kind, list[int]] = {}
    for place, item in enumerate(items):
        storage = storage_of(options, numpy_dtype(item.variable.dtype), Gradients([item]).dtype)
        kinds.setdefault(_Kind(storage, item.decays, item.sparse), []).append(place)
    return [(kind, part) for kind, places in kinds.items() for part in _cut(places, lambda place: items[place].nbytes)]


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
