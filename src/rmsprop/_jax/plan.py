"""The plan of one custom call, as a text that the call carries, and the runs of that plan.

A compiled executable may live longer than the optimizer it was traced for, come out of a cache on disk, or be run by
several threads at once. So no table of this process holds a part of a step: the text is enough to plan the launches.
"""

import ctypes
import json
import math
from collections import deque
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, final

import numpy
from numpy.typing import NDArray

from rmsprop._core.modes import exact
from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.run import Run
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import VERSION, Storage
from rmsprop._jax.frames import COUNT, DTYPE, DTYPES, PLACE, SIZE, Frame, read_frame

#: Plans whose runs stay in memory.
_PLANS: Final = 256

#: Types of numbers among the arguments, as they are read.
NUMBERS: Final[dict[str, Any]] = {
    "float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
}  # fmt: skip

#: Result of `read_frame` -> error text.
_WRONG: Final = {
    COUNT: "a step was called with other arguments than it was traced for",
    PLACE: "XLA did not put the results where the arguments are, as it was told",
    DTYPE: "argument {place} of a step holds numbers of another type than it was traced for",
    SIZE: "argument {place} of a step holds more or fewer numbers than it was traced for",
}

_Integers = NDArray[numpy.int64]


@final
class CallPlan(NamedTuple):
    """A custom call.

    Its arguments are numbers, then the gradients of all tensors, then the variables of all, then each slot of all. Its
    results are new variables and slots, in the memory of the old ones.

    Attributes:
        numbers: name and type of each: "iterations", and columns of `rmsprop._core.tables.GROUP`.
        known: columns whose numbers are known, name -> number.
        state: the names of `rmsprop._core.rule.STATE` that are on.
        tensors: for each tensor its size, the names of the types in `rmsprop._core.tables.Storage`, and what is on.
        clips: whether a norm scales the gradients.
        version: of the text.
    """

    numbers: tuple[tuple[str, str], ...]
    known: tuple[tuple[str, float], ...]
    state: tuple[str, ...]
    tensors: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...]
    clips: bool = False
    version: int = VERSION

    def text(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Return the plan of a text.

        Raises:
            ValueError: another version wrote the text.
        """
        *fields, version = json.loads(text)
        if version != VERSION:
            raise ValueError(f"this step was compiled by another version of rmsprop: {version} is not {VERSION}")
        return cls(*fields)

    def plan(self) -> Plan:
        """Return the launches and norms."""
        return Plan(
            Tensor(size, Storage(*map(numpy.dtype, types)), tuple(on), clips=self.clips)
            for size, types, on in self.tensors
        )


@lru_cache(_PLANS)
def runners(text: bytes) -> "Runners":
    """Return the runs of a plan."""
    return Runners(CallPlan.read(text))


@final
class Runners:
    """The runs of one plan, on any number of threads at once."""

    def __init__(self, plan: CallPlan) -> None:
        self._call, self._plan = plan, plan.plan()
        # Each run has tables of its own. `pop` and `append` of a deque are atomic.
        self._idle: deque[_Runner] = deque([_Runner(self._call, self._plan)])

    def compile(self) -> None:
        """Compile the kernels or load them."""
        runner = self._take()
        runner.compile()
        self._idle.append(runner)

    def run(self, frame: int) -> None:
        """Do the step of a call frame."""
        runner = self._take()
        with exact():  # XLA's threads flush subnormal numbers, also those that a kernel reads from tables
            runner.run(frame)
        # A run that failed is dropped: its tables may be half written.
        self._idle.append(runner)

    def _take(self) -> "_Runner":
        try:
            return self._idle.pop()
        except IndexError:
            return _Runner(self._call, self._plan)


@final
class _Runner:
    """A run of a plan, with the addresses of a call's arguments and results."""

    def __init__(self, call: CallPlan, plan: Plan) -> None:
        self._call, self._count = call, len(call.tensors)
        given = len(call.numbers)
        self._inputs = numpy.zeros(given + self._count * (1 + len(call.state)), numpy.int64)
        self._outputs = numpy.zeros(self._count * len(call.state), numpy.int64)
        self._kinds, self._sizes = _expected(call)
        self._readers = [(name, NUMBERS[dtype]) for name, dtype in call.numbers]
        self._run = Run(plan, default_threads())
        for name, number in call.known:
            self._run.groups[name][:] = number

    def compile(self) -> None:
        """Compile the kernels or load them, and step nothing."""
        nothing = numpy.zeros(0, numpy.int64)
        read_frame(ctypes.addressof(Frame()), nothing, nothing, nothing, nothing)
        self._run.compile()

    def run(self, frame: int) -> None:
        """Do the step of a call frame."""
        wrong, place = read_frame(frame, self._inputs, self._outputs, self._kinds, self._sizes)
        if wrong:
            # Results elsewhere are a failure of XLA, everything else of the caller.
            raise (RuntimeError if wrong == PLACE else ValueError)(_WRONG[wrong].format(place=place))
        run, count, first = self._run, self._count, len(self._readers)
        iterations = 0
        for (name, kind), address in zip(self._readers, self._inputs[:first].tolist(), strict=True):
            number = kind.from_address(address).value
            if name == "iterations":
                iterations = number
            else:
                run.groups[name][:] = number
        rate = float(run.groups["learning_rate"][0])
        if not 0 <= rate < math.inf:
            raise ValueError(f"learning_rate={rate!r}, of this step, is not a finite number at least 0")
        run.where["gradient"][:] = self._inputs[first : first + count]
        for row, name in enumerate(self._call.state):
            run.where[name][:] = self._outputs[row * count : (row + 1) * count]
        run.compile()
        run.execute(iterations)


def _expected(call: CallPlan) -> tuple[_Integers, _Integers]:
    """Return for each argument XLA's number of its type, and its size."""
    kinds, sizes = [DTYPES[dtype] for _, dtype in call.numbers], [1] * len(call.numbers)
    for name in ("gradient", *call.state):
        place = {"gradient": 0, "variable": 1}.get(name, 2)
        kinds += [DTYPES[types[place]] for _, types, _ in call.tensors]
        sizes += [size for size, _, _ in call.tensors]
    return numpy.array(kinds, numpy.int64), numpy.array(sizes, numpy.int64)
