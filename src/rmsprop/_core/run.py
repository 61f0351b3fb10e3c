"""A plan with memory: what a step is told, and its run."""

import ctypes
from collections.abc import Callable, Mapping
from typing import Final

import numpy
from numpy.typing import NDArray

from rmsprop._core import plain
from rmsprop._core.forks import loading
from rmsprop._core.plan import Integers, Plan
from rmsprop._core.tables import COUNTERS, GROUP, HEAD, JOB, JOB_WORDS, LINE, MEASURE, NOTHING, PREPARE, WHERE

#: Pieces of a launch below which waking another thread costs more than it saves.
SMALL: Final = 8

#: How often a thread takes pieces: more often evens out a thread that the system held up.
_TAKES: Final = 16

#: Of float32.
_LARGEST: Final = float(numpy.finfo(numpy.float32).max)

_GIVEN, _ITERATIONS, _SCRATCH, _TEAM = (HEAD.index(name) for name in ("given", "iterations", "scratch", "team"))

_EXECUTE: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64)


class Run:
    """The memory of a plan, used by one step at a time.

    Args:
        plan: what is done.
        threads: how many may share a launch; the results do not depend on it.
        compiled: whether kernels do it; else NumPy does, with the same bits.

    Attributes:
        plan: as given.
        compiled: as given.
        where: column of `rmsprop._core.tables.WHERE` -> an address for each tensor, int64, written before a step.
        groups: column of GROUP -> a number for each group, float64, written before a step.
        squares: the sum of each gradient's squares, float64, 0 where no norm scales it.
        scales: what each gradient is multiplied by, float64.
    """

    def __init__(self, plan: Plan, threads: int = 1, compiled: bool = True) -> None:
        self.plan, self.compiled, self._threads = plan, compiled, threads
        size = -(-plan.words.size // 8) * 8
        scratch = int(plan.words[HEAD.index("scratch_bytes")]) // 8 * threads if compiled else 0
        memory = numpy.empty(size + scratch + LINE // 8, numpy.int64)
        words: Integers = memory[-memory.ctypes.data // 8 % 8 :][: size + scratch]  # from the beginning of a cache line
        words[: plan.words.size] = plan.words
        words[_SCRATCH] = 8 * size
        self.words, self.address = words, words.ctypes.data
        self._view = words.data  # to write single words quickly
        count = len(plan.tensors)
        self.where = self._columns("where", WHERE, count)
        table = self._table("group_table", plan.groups * len(GROUP)).view(numpy.float64).reshape(plan.groups, -1)
        self.groups: dict[str, NDArray[numpy.float64]] = {name: table[:, i] for i, name in enumerate(GROUP)}
        self.groups["factor"][:] = 1.0
        self._numbers: list[tuple[float, float] | None] = [None] * plan.groups
        self.squares, self.scales = (self._table(one, count).view(numpy.float64) for one in ("squares", "scales"))
        self._helpers = 0
        self._execute: Callable[[int], object] | None = None

    def _table(self, name: str, size: int) -> Integers:
        begin = self.plan.begin(name)
        return self.words[begin : begin + size]

    def _columns(self, name: str, names: tuple[str, ...], count: int) -> Mapping[str, Integers]:
        table = self._table(name, len(names) * count)
        return {one: table[i * count : (i + 1) * count] for i, one in enumerate(names)}

    def compile(self) -> None:
        """Find the kernels, compiled by now: it takes seconds in which a user may well press Ctrl-C."""
        if self._execute is not None or not self.compiled:
            return
        # Numba is imported when the first step needs it: `import rmsprop` is for everyone, and takes no time.
        with loading():
            from rmsprop._core.cpu.helpers import THE_TEAM
            from rmsprop._core.cpu.kernels import entry, kernel

        helpers = 0
        for jobs, launches in (("norms", self.plan.norms), ("steps", self.plan.steps)):
            for number, launch in enumerate(launches):
                job = self._table(jobs, JOB_WORDS * len(launches))[JOB_WORDS * number + COUNTERS :]
                pieces, threads = int(job[JOB.index("pieces")]), 1
                if pieces >= SMALL:
                    threads, helpers = self._threads, self._threads - 1
                    job[JOB.index("take")] = max(1, pieces // (threads * _TAKES))
                job[JOB.index("threads")] = threads
                job[JOB.index("kernel")] = kernel(launch.kernel)
        self.words[_TEAM] = THE_TEAM.address
        self._team, self._helpers = THE_TEAM, helpers
        self._execute = _EXECUTE(entry("execute"))

    def set_numbers(self, group: int, rate: float, factor: float = 1.0) -> None:
        """Write the numbers of a group that change from step to step.

        Args:
            group: its number.
            rate: the learning rate.
            factor: what its gradients are multiplied by.

        Warns:
            RuntimeWarning: the rate is beyond the numbers that a tensor of the group is computed in.
        """
        if (rate, factor) == self._numbers[group]:
            return
        if abs(rate) > _LARGEST:
            for tensor in self.plan.tensors:
                if tensor.group == group:
                    tensor.storage.compute.type(rate)  # NumPy warns
        # Forgotten before they are written and noted after: an interrupt lets the next step write them.
        self._numbers[group] = None
        self.groups["learning_rate"][group] = rate
        self.groups["factor"][group] = factor
        self._numbers[group] = rate, factor

    def execute(self, iterations: int = 0, given: int = NOTHING) -> None:
        """Do the step; `compile` comes before it.

        Args:
            iterations: steps done before.
            given: what is known before it; see `rmsprop._core.tables`.
        """
        if self._helpers:
            self._team.have(self._helpers)
        self._view[_ITERATIONS] = iterations
        self._view[_GIVEN] = given
        if self._execute is None:
            plain.execute(self)
        else:
            self._execute(self.address)

    def measure(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient that a norm scales, and write nothing else."""
        self.execute(given=MEASURE)
        return self.squares

    def prepare(self) -> NDArray[numpy.float64]:
        """Find what each gradient is multiplied by, and step nothing."""
        self.execute(given=PREPARE)
        return self.scales
