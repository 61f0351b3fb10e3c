"""A plan with memory: the inputs of a step, and its run."""

import ctypes
from collections.abc import Callable, Mapping
from typing import Final, Protocol, final

import numpy
from numpy.typing import NDArray

from rmsprop._core import plain
from rmsprop._core.forks import loading
from rmsprop._core.plan import Integers, Plan
from rmsprop._core.tables import (
    COUNTERS,
    GROUP,
    HEAD,
    JOB,
    JOB_WORDS,
    LINE,
    MEASURE,
    NOTHING,
    PREPARE,
    STEP,
    WHERE,
    columns,
)

#: Pieces of a launch, the last one perhaps not full, from which another thread saves more than its waking costs, where
#: a pool knows no better.
SMALL: Final = 8

#: Batches of pieces that a thread claims: enough that others do the work of one that the system stops.
_BATCHES: Final = 16

#: The largest float32.
_LARGEST: Final = float(numpy.finfo(numpy.float32).max)

_GIVEN, _ITERATIONS, _SCRATCH, _POOL, _BYTES = columns(HEAD, "given", "iterations", "scratch", "pool", "scratch_bytes")
_PIECES, _BATCH, _LENGTH, _THREADS, _KERNEL = (
    COUNTERS + number for number in columns(JOB, "pieces", "batch", "length", "threads", "kernel")
)

_EXECUTE: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64)


class Pool(Protocol):
    """Threads that help with jobs; see `rmsprop._core.cpu.pools`.

    Attributes:
        least: pieces of a launch, the last one perhaps not full, from which another thread saves more than it costs.
    """

    least: int

    def words_at(self) -> int:
        """Return the address of the pool's words, which is valid until the process ends."""

    def have(self, helpers: int) -> None:
        """Start so many threads, if it is this package that starts them."""


@final
class Run:
    """The memory of a plan, used by one step at a time.

    Args:
        plan: the plan.
        threads: how many may share a launch; the results do not depend on it.
        compiled: whether kernels run it, or the rule on whole arrays, with the same bits.

    Attributes:
        plan: the plan.
        compiled: whether kernels run it.
        where: column of `rmsprop._core.tables.WHERE` -> an address for each tensor, int64, written before a step.
        groups: column of GROUP -> a number for each group, float64, written before a step.
        squares: the sum of each gradient's squares, float64, 0 where no norm scales it.
        scales: the factor of each gradient, float64.
    """

    def __init__(self, plan: Plan, threads: int = 1, compiled: bool = True) -> None:
        self.plan, self.compiled, self._threads = plan, compiled, threads
        size = -(-plan.words.size // 8) * 8
        scratch = int(plan.words[_BYTES]) // 8 * threads if compiled else 0
        memory = numpy.empty(size + scratch + LINE // 8, numpy.int64)
        words: Integers = memory[-memory.ctypes.data // 8 % 8 :][: size + scratch]  # from the beginning of a cache line
        words[: plan.words.size] = plan.words
        words[_SCRATCH] = 8 * size
        self.words, self.address = words, words.ctypes.data
        self._view = words.data  # to write single words quickly
        count = len(plan.tensors)
        where = self._table("where", len(WHERE) * count).reshape(len(WHERE), count)
        self.where: Mapping[str, Integers] = dict(zip(WHERE, where, strict=True))
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

    def compile(self, pool: Pool | None = None) -> None:
        """Find the kernels, and compile those that are missing, in seconds that Ctrl-C may interrupt.

        `pool` has the threads that help; None: this package's own.
        """
        if self._execute is not None or not self.compiled:
            return
        # Numba is imported when the first step needs it, so that `import rmsprop` takes no time.
        with loading():
            from rmsprop._core.cpu.helpers import OUR_TEAM
            from rmsprop._core.cpu.kernels import entry, kernel

        helpers, least = 0, SMALL if pool is None else pool.least
        for jobs, launches in (("norms", self.plan.norms), ("steps", self.plan.steps)):
            table = self._table(jobs, JOB_WORDS * len(launches)).reshape(-1, JOB_WORDS)
            for job, launch in zip(table, launches, strict=True):
                pieces, threads = int(job[_PIECES]), 1
                # Not by the pieces: in a norm's launch each tensor has its own, however small it is.
                numbers = sum(-(-self.plan.tensors[place].size // STEP) * STEP for place in launch.tensors)
                if -(-numbers // int(job[_LENGTH])) >= least:
                    threads, helpers = self._threads, self._threads - 1
                    job[_BATCH] = max(1, pieces // (threads * _BATCHES))
                job[_THREADS] = threads
                job[_KERNEL] = kernel(launch.kernel)
        if helpers:
            self._pool: Pool = pool or OUR_TEAM
            self.words[_POOL] = self._pool.words_at()
            self._helpers = helpers
        self._execute = _EXECUTE(entry("execute"))

    def set_rate_and_factor(self, group: int, rate: float, factor: float = 1.0) -> None:
        """Write the learning rate of a group, and the factor of its gradients, if they changed.

        The native steps of TensorFlow and JAX write `groups` themselves: their numbers arrive in memory, anew with each
        call.

        Warns:
            RuntimeWarning: the rate is beyond the compute type of a tensor of the group.
        """
        if (rate, factor) == self._numbers[group]:
            return
        if abs(rate) > _LARGEST:
            for tensor in self.plan.tensors:
                if tensor.group == group:
                    tensor.storage.compute.type(rate)  # NumPy warns
        # Forgotten before they are written and noted after: after an interrupt the next step writes them again.
        self._numbers[group] = None
        self.groups["learning_rate"][group] = rate
        self.groups["factor"][group] = factor
        self._numbers[group] = rate, factor

    def start_helpers(self) -> None:
        """Start the threads that may help, unless they are there."""
        if self._helpers:
            self._pool.have(self._helpers)

    def execute(self, iterations: int = 0, given: int = NOTHING) -> None:
        """Do the step, after `compile`; `given` is what is known or wanted of it: see `rmsprop._core.tables`."""
        if self._helpers:  # without a call: a small step has none
            self.start_helpers()
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
        """Compute the factor of each gradient, and step nothing."""
        self.execute(given=PREPARE)
        return self.scales
