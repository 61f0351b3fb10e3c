"""Which kernel serves which tensors of a step: the one planner, for every framework and for CUDA.

A `Tensor` describes a tensor without its address: it is static and hashable, and a plan is made of nothing else. So a
plan is the same for every step with such tensors, and its words belong to no process.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, final

import numpy
from numpy.typing import NDArray

from rmsprop._core.rule import STATE
from rmsprop._core.tables import (
    CHUNK,
    COUNTERS,
    GATHERED,
    GROUP,
    HEAD,
    JOB,
    JOB_WORDS,
    LANES,
    LINE,
    PART,
    ROW,
    STEP,
    VERSION,
    WHERE,
    Storage,
)

Integers = NDArray[numpy.int64]

#: Lengths of axes, and the strides in bytes of the variable and of the gradient.
Layout = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

Form = Literal["flat", "rows", "gathered"]
Out = Literal["place", "targets", "streamed"]


@final
class Tensor(NamedTuple):
    """What a variable of a step is, with its gradient and its slots.

    Attributes:
        size: how many numbers it has.
        storage: how they are stored.
        on: its slots, and the scalars of the rule that are on for it.
        group: number of its row of options.
        clips: whether a norm scales its gradient.
        form: how a step finds its numbers: "flat", all contiguous in the same order; "rows", the variable contiguous
            and the gradient sparse; "gathered", the variable through `layout`, and a dense gradient as well.
        layout: its axes for a step, in the variable's order in memory; () unless it is gathered.
        norm_form: how a norm finds the gradient's numbers, in row-major order: "flat", contiguous; "rows", a sparse
            gradient; "gathered", through `norm_layout`. One kernel serves the last two.
        norm_layout: its axes in order; () unless the norm's form is gathered.
        row_size: how many numbers a row of a sparse gradient has; -1 for a dense one.
        turn: its launch comes after all launches with a lower number. Variables that share memory differ in it.
        joint: whether the norm is that of all such gradients together; only CUDA's planner reads it.
        aligned: whether all its arrays begin at multiples of 16 bytes; only CUDA's kernels need it.
        norm_aligned: whether the gradient in row-major order begins at a multiple of 16 bytes; only for CUDA.
    """

    size: int
    storage: Storage
    on: tuple[str, ...]
    group: int = 0
    clips: bool = False
    form: Form = "flat"
    layout: Layout | tuple[()] = ()
    norm_form: Form = "flat"
    norm_layout: Layout | tuple[()] = ()
    row_size: int = -1
    turn: int = 0
    joint: bool = False
    aligned: bool = False
    norm_aligned: bool = False


@final
class Kernel(NamedTuple):
    """What a kernel is compiled for.

    Attributes:
        work: "step", or "squares" of gradients.
        storage: how numbers are stored.
        on: the slots and scalars that are on; () for squares.
        form: how it finds numbers, as for a `Tensor`.
        out: where results go: in the operands' "place", to "targets", or to targets past the caches, "streamed".
        aligned: whether arrays begin at multiples of 16 bytes, as for a `Tensor`.
    """

    work: Literal["step", "squares"]
    storage: Storage
    on: tuple[str, ...]
    form: Form
    out: Out = "place"
    aligned: bool = False

    @property
    def scratch(self) -> int:
        """Bytes that each thread needs for itself."""
        if self.work == "squares":
            return 8 * (LANES if self.form == "flat" else LANES + GATHERED)
        gathered = {"flat": 0, "rows": 8 * CHUNK, "gathered": 16 * GATHERED}[self.form]
        return gathered + (8 * PART * len(STATE) if self.out == "streamed" else 0)


@final
class Launch(NamedTuple):
    """Tensors that one kernel call serves, by their places among the plan's."""

    kernel: Kernel
    tensors: tuple[int, ...]


def step_launches(tensors: Sequence[Tensor], out: Out = "place") -> list[Launch]:
    """Sort tensors that have numbers by their kernels, in the order of the launches."""
    found: dict[Any, list[int]] = {}
    for place, one in enumerate(tensors):
        if one.size:
            kernel = Kernel("step", one.storage, one.on, one.form, out, one.aligned)
            found.setdefault((one.turn, kernel), []).append(place)
    in_turn = sorted(found.items(), key=lambda item: item[0][0])
    return [Launch(kernel, tuple(places)) for (_, kernel), places in in_turn]


def norm_launches(tensors: Sequence[Tensor]) -> list[Launch]:
    """Sort tensors whose gradients are scaled by a norm by the kernels that sum their squares."""
    found: dict[Kernel, list[int]] = {}
    for place, one in enumerate(tensors):
        if one.size and one.clips:
            double = numpy.dtype(numpy.float64)
            storage = Storage(one.storage.gradient, double, double, double)
            form: Form = "flat" if one.norm_form == "flat" else "gathered"
            kernel = Kernel("squares", storage, (), form, aligned=one.norm_aligned)
            found.setdefault(kernel, []).append(place)
    return [Launch(kernel, tuple(places)) for kernel, places in found.items()]


@final
class Plan:
    """The launches of a step, and its memory as it is before the step is known.

    Args:
        tensors: what is stepped.
        groups: rows of options.
        out: where results go.
        steps: False: only norms.

    Attributes:
        tensors: the tensors.
        norms: the launches that sum squares.
        steps: the launches that step.
        words: tables of `rmsprop._core.tables`; jobs without the addresses of kernels, and no scratch memory.
    """

    def __init__(self, tensors: Iterable[Tensor], groups: int = 1, out: Out = "place", *, steps: bool = True) -> None:
        self.tensors, self.groups = tuple(tensors), groups
        self.norms = norm_launches(self.tensors)
        self.steps = step_launches(self.tensors, out) if steps else []
        self._begin: dict[str, int] = {}
        self.words: Integers = numpy.array(self._lay_out(), numpy.int64)

    def begin(self, name: str) -> int:
        """Return the number of the first word of a table of HEAD."""
        return self._begin[name]

    def _lay_out(self) -> list[int]:
        """Return the words of all tables."""
        count, begin = len(self.tensors), self._begin
        words = [0] * len(HEAD)
        begin["where"] = _append(words, [0] * (len(WHERE) * count))
        begin["group_table"] = _append(words, [0] * (len(GROUP) * self.groups))
        begin["members"] = _append(words, [tensor.group for tensor in self.tensors])
        begin["scales"], begin["squares"] = _append(words, [0] * count), _append(words, [0] * count)
        norms, partials = self._jobs(words, self.norms, CHUNK)
        steps, _ = self._jobs(words, self.steps, STEP)
        begin["norms"], begin["steps"] = _append(words, norms), _append(words, steps)
        begin["partials"] = _append(words, [0] * partials)
        for first, launches in ((begin["norms"], self.norms), (begin["steps"], self.steps)):
            for job in range(first, first + JOB_WORDS * len(launches), JOB_WORDS):
                words[job + COUNTERS + JOB.index("head")] = -8 * job
        scratch = max([one.kernel.scratch for one in (*self.norms, *self.steps)], default=0)
        head = {name: 8 * at for name, at in begin.items()}
        head |= {"version": VERSION, "tensors": count, "groups": self.groups}
        head |= {"norm_jobs": len(self.norms), "step_jobs": len(self.steps)}
        head["scratch_bytes"] = -(-scratch // LINE) * LINE
        words[: len(HEAD)] = [head.get(name, 0) for name in HEAD]
        return words

    def _jobs(self, words: list[int], launches: Sequence[Launch], unit: int) -> tuple[list[int], int]:
        """Append the rows of launches, in which each tensor begins at a multiple of `unit` elements.

        Returns:
            The jobs, and the number of partial sums of all tensors.
        """
        jobs, partials = list[int](), 0
        for launch in launches:
            rows, begin, end = list[int](), 0, 0
            for place in launch.tensors:
                one = self.tensors[place]
                layout = one.norm_layout if launch.kernel.work == "squares" else one.layout
                at = _append(words, [len(layout[0]), *(number for part in layout for number in part)]) if layout else 0
                row = {"begin": begin, "size": one.size, "tensor": place, "group": one.group, "layout": 8 * at}
                row |= {"row_size": one.row_size, "partial": partials}
                rows += [row[name] for name in ROW]
                partials += -(-one.size // CHUNK)
                end = begin + one.size
                begin += -(-one.size // unit) * unit
            length = GATHERED if launch.kernel.form == "gathered" else CHUNK
            job = {"pieces": -(-end // length), "batch": 1, "length": length, "rows": len(launch.tensors), "threads": 1}
            job["row_table"] = 8 * _append(words, rows)
            jobs += [*[0] * COUNTERS, *(job.get(name, 0) for name in JOB)]
        return jobs, partials


def _append(words: list[int], table: Sequence[int]) -> int:
    """Append a table at the beginning of a cache line, and return the number of its first word."""
    words += [0] * (-len(words) % (LINE // 8))
    begin = len(words)
    words += table
    return begin
