"""What one custom call does, as a text that it carries along, and the launches that do it.

A compiled executable may live longer than the optimizer it was traced for, come out of a cache on disk, or be run by
several threads at once. So nothing of a step is kept under a number that the executable would have to find again: the
text says everything, and whoever reads it can make the launches.
"""

import ctypes
import json
import math
from collections import deque
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop._core.modes import exact
from rmsprop._core.scalars import each_scale, joint_scale
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import Storage
from rmsprop._jax.frames import COUNT, DTYPE, DTYPES, PLACE, SIZE, Frame, read_frame
from rmsprop.compilers.numba import Launch, SquareSums

#: Of the text: another one is refused.
_VERSION: Final = 1

#: Plans whose launches are kept; those of others are made again.
_KEPT: Final = 256

#: How numbers among the arguments are read.
NUMBERS: Final[dict[str, Any]] = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
}

#: What `read_frame` found.
_WRONG: Final = {
    COUNT: "a step was called with other arguments than it was traced for",
    PLACE: "XLA did not put the results where the arguments are, as it was told",
    DTYPE: "argument {place} of a step holds numbers of another type than it was traced for",
    SIZE: "argument {place} of a step holds more or fewer numbers than it was traced for",
}

_Integers = NDArray[numpy.int64]


class Bucket(NamedTuple):
    """Tensors of one launch.

    Attributes:
        storage: names of the types in `rmsprop._core.tables.Storage`.
        sizes: numbers in each of the tensors.
        places: which tensors of the step these are.
        constants: scalar -> number.
        changing: the other scalars that are on.
    """

    storage: tuple[str, ...]
    sizes: tuple[int, ...]
    places: tuple[int, ...]
    constants: tuple[tuple[str, float], ...]
    changing: tuple[str, ...]


class Plan(NamedTuple):
    """A custom call.

    Its arguments are numbers, then the gradients of all buckets, then the variables of all, then each kind of
    state of all. Its results are the last of these, in the memory of the arguments.

    Attributes:
        numbers: name and type of each: scalars of the rule that change, and options and iterations, from which
            others of them are found.
        known: such options whose values are known, name -> number.
        state: those of `rmsprop._core.rule.STATE` that are on.
        buckets: the tensors.
        version: of this text.
    """

    numbers: tuple[tuple[str, str], ...]
    known: tuple[tuple[str, float], ...]
    state: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    version: int = _VERSION

    def text(self) -> str:
        """Write it down."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: bytes) -> "Plan":
        """Read what `text` gave.

        Raises:
            ValueError: it is another version's.
        """
        *fields, version = json.loads(text)
        if version != _VERSION:
            raise ValueError(f"this step was compiled by another version of rmsprop: {version} is not {_VERSION}")
        numbers, known, state, buckets = fields
        return cls(numbers, known, state, tuple(Bucket(*bucket) for bucket in buckets))


@lru_cache(_KEPT)
def runners(text: bytes) -> "Runners":
    """Give what runs a plan."""
    return Runners(Plan.read(text))


class Runners:
    """Runs one plan, on any number of threads at once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Tables are one run's own. Taking from a deque and returning are one operation each for all threads.
        self._idle: deque[_Runner] = deque([_Runner(plan)])

    def compile(self) -> None:
        """Compile the kernels or load them."""
        runner = self._take()
        runner.compile()
        self._idle.append(runner)

    def run(self, frame: int) -> None:
        """Do the step of a call frame."""
        runner = self._take()
        with exact():  # XLA's threads flush subnormal numbers, also those that a kernel is told
            runner.run(frame)
        # Not one that failed, whose tables may be half written.
        self._idle.append(runner)

    def _take(self) -> "_Runner":
        try:
            return self._idle.pop()
        except IndexError:
            return _Runner(self._plan)


class _Runner:
    """The tables and launches of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        counts = [len(bucket.sizes) for bucket in plan.buckets]
        count, given = sum(counts), len(plan.numbers)
        self._inputs = numpy.zeros(given + count + len(plan.state) * count, numpy.int64)
        self._outputs = numpy.zeros(len(plan.state) * count, numpy.int64)
        self._kinds, self._sizes = _expected(plan)
        self._readers = [(name, NUMBERS[dtype]) for name, dtype in plan.numbers]
        gradients = self._inputs[given : given + count]
        clips = {"clipnorm", "global_clipnorm"} & {name for name, _ in (*plan.known, *plan.numbers)}
        self._norms = _Norms(plan.buckets, gradients) if clips else None
        self._launches = []
        for bucket, end in zip(plan.buckets, accumulate(counts), strict=True):
            mine = slice(end - len(bucket.sizes), end)
            addresses = {"gradient": gradients[mine]}
            for row, name in enumerate(plan.state):
                addresses[name] = self._outputs[row * count : (row + 1) * count][mine]
            self._launches.append(_launch(bucket, addresses))

    def compile(self) -> None:
        """Compile the kernels or load them, and step nothing."""
        nothing = numpy.zeros(0, numpy.int64)
        read_frame(ctypes.addressof(Frame()), nothing, nothing, nothing, nothing)
        for launch in self._launches:
            launch.compile()
        if self._norms is not None:
            self._norms.compile()

    def run(self, frame: int) -> None:
        """Do the step of a call frame."""
        wrong, place = read_frame(frame, self._inputs, self._outputs, self._kinds, self._sizes)
        if wrong:
            # What XLA was told, and did not do, is its failure; the rest is the caller's.
            raise (RuntimeError if wrong == PLACE else ValueError)(_WRONG[wrong].format(place=place))
        values = self._values()
        for bucket, launch in zip(self._plan.buckets, self._launches, strict=True):
            for name in bucket.changing:
                value = values[name]
                launch.scalars[name][:] = value[list(bucket.places)] if isinstance(value, numpy.ndarray) else value
            launch.run()

    def _values(self) -> dict[str, Any]:
        """Give all scalars of the rule that are not constants, and what they were found from."""
        values: dict[str, Any] = dict(self._plan.known)
        for (name, kind), address in zip(self._readers, self._inputs[: len(self._readers)].tolist(), strict=True):
            values[name] = kind.from_address(address).value
        rate = values.get("learning_rate", 0.0)
        if not 0 <= rate < math.inf:
            raise ValueError(f"learning_rate={rate!r}, of this step, is not a finite number at least 0")
        frequency = values.get("ema_overwrite_frequency")
        if frequency is not None:
            values["overwrite"] = values["iterations"] % frequency == frequency - 1
        if self._norms is not None:
            squares = self._norms.squares()
            find, limit = (each_scale, "clipnorm") if "clipnorm" in values else (joint_scale, "global_clipnorm")
            values["clip_scale"] = find(squares, values[limit])
        return values


def _expected(plan: Plan) -> tuple[_Integers, _Integers]:
    """Give the type of each argument, as XLA numbers them, and how many numbers it has."""
    kinds, sizes = [DTYPES[dtype] for _, dtype in plan.numbers], [1] * len(plan.numbers)
    for name in ("gradient", *plan.state):
        for bucket in plan.buckets:
            gradient, variable, slots, _ = bucket.storage
            dtype = {"gradient": gradient, "variable": variable}.get(name, slots)
            kinds += [DTYPES[dtype]] * len(bucket.sizes)
            sizes += bucket.sizes
    return numpy.array(kinds, numpy.int64), numpy.array(sizes, numpy.int64)


def _launch(bucket: Bucket, addresses: dict[str, _Integers]) -> Launch:
    """Make a launch that finds its tensors where the tables say."""
    constants = dict(bucket.constants)
    launch = Launch(
        bucket.sizes,
        Storage(*map(numpy.dtype, bucket.storage)),
        list(addresses),
        [*constants, *bucket.changing],
        default_threads(),
        addresses=addresses,
    )
    for name, value in constants.items():
        launch.scalars[name].fill(value)
    return launch


def by_gradient(buckets: tuple[Bucket, ...]) -> dict[str, list[tuple[int, int, int]]]:
    """Sort tensors by the types of their gradients: number within the plan, place in the step, and size of each."""
    kinds: dict[str, list[tuple[int, int, int]]] = {}
    number = 0
    for bucket in buckets:
        for size, place in zip(bucket.sizes, bucket.places, strict=True):
            kinds.setdefault(bucket.storage[0], []).append((number, place, size))
            number += 1
    return kinds


class _Norms:
    """The sums of squares of all gradients, in the order of the step's tensors.

    Args:
        buckets: of a plan.
        addresses: of the gradients, a table that is filled in for each call.
    """

    def __init__(self, buckets: tuple[Bucket, ...], addresses: _Integers) -> None:
        self._addresses, self._squares = addresses, numpy.zeros(addresses.size)
        kinds = by_gradient(buckets)
        self._dtypes, self._parts = list(map(numpy.dtype, kinds)), []
        for dtype, tensors in zip(self._dtypes, kinds.values(), strict=True):
            numbers, places, sizes = map(list, zip(*tensors, strict=True))
            sums = SquareSums(sizes, dtype, default_threads(), scattered=False)
            self._parts.append((numbers, places, sums))

    def compile(self) -> None:
        """Compile the kernels or load them, and read nothing."""
        for dtype in self._dtypes:
            SquareSums([], dtype, 1, scattered=False).run()

    def squares(self) -> NDArray[numpy.float64]:
        """Give the sum of each gradient's squares."""
        for numbers, places, sums in self._parts:
            sums.gradients[:] = self._addresses[numbers]
            self._squares[places] = sums.run()
        return self._squares
