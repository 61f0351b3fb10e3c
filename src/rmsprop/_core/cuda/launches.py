"""The launches on CUDA memory: the planner's, after small ones for norms and switches.

A `Launches` is made once for a pattern of tensors and used for every step with that pattern. It never waits for the
device or reads from it. On CPU tensors it runs under Triton's interpreter, if ``TRITON_INTERPRET=1`` was set before
Triton was imported.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, final

import numpy
import torch
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core import plan
from rmsprop._core.cuda import norms as _triton_norms
from rmsprop._core.cuda import step
from rmsprop._core.cuda.tables import GROUP_COLUMNS, STEP_PIECE, STEP_WARPS, Doubles, Integers, Tables, piece_table
from rmsprop._core.tables import CHUNK

_TYPES: Final = {"float16": tl.float16, "bfloat16": tl.bfloat16, "float32": tl.float32, "float64": tl.float64}

_LEARNING_RATE: Final = GROUP_COLUMNS.index("learning_rate")

#: Options of every launch. A warp sums a norm chunk alone: 128 lanes are four a thread, one load of 128 bits.
_STEP: Final = {"num_warps": STEP_WARPS, "enable_fp_fusion": False}
_SMALL: Final = {"num_warps": 1, "enable_fp_fusion": False}

#: A kernel, how many programs of it run, its arguments, and the options of the launch.
_Work = tuple[Any, int, tuple[Any, ...], dict[str, Any]]


def count_launches(tensors: Sequence[plan.Tensor]) -> int:
    """Return the number of launches of `Launches.run`: prepare, for norms sum, fold and clip, and step."""
    norms = len(plan.norm_launches(tensors)) + 2 if any(one.clips for one in tensors) else 0
    return 1 + norms + len(plan.step_launches(tensors))


@final
class Launches:
    """All launches of a step.

    Args:
        tensors: the tensors of the step.
        up: for each, whether to go up; then "clip_scale" is on, which is -1 unless a norm clips as well.
        groups: rows of the group table.
        device: of the tensors.

    Attributes:
        squares: the sum of each gradient's squares, float64, of the last step or of `sum_squares`.
    """

    def __init__(self, tensors: Sequence[plan.Tensor], up: Sequence[bool], groups: int, device: torch.device) -> None:
        self._device, self._groups = device, groups
        self._tables = Tables(len(tensors), groups, device)
        self._compiled: set[Any] = set()
        self._switches = torch.zeros(1 + groups, dtype=torch.int32, device=device)
        self._inverse = torch.zeros(1, dtype=torch.float32, device=device)
        self.squares = torch.zeros(len(tensors), dtype=torch.float64, device=device)
        self._scales = self._there(numpy.array([-1.0 if one else 1.0 for one in up]))
        self._steps = self._step_launches(tensors)
        self._clips = any(one.clips for one in tensors)
        if self._clips:
            self._sums, self._partials, self._ranges = self._norm_launches(tensors)
            self._members, self._norms = (self._there(table) for table in _norm_tables(tensors))

    def _step_launches(self, tensors: Sequence[plan.Tensor]) -> list[tuple[Tensor, tuple[Any, ...], bool]]:
        """Return for each launch its piece table, compile-time arguments, and whether gradients are scaled."""
        found = []
        for kernel, places in plan.step_launches(tensors):
            flags = [name in kernel.on for name in step.FLAGS]
            types = [_TYPES[dtype.name] for dtype in kernel.storage]
            pieces = piece_table([(place, tensors[place].size) for place in places], STEP_PIECE)
            found.append((self._there(pieces), (*types, kernel.aligned, *flags), flags[0]))
        return found

    def _norm_launches(
        self, tensors: Sequence[plan.Tensor]
    ) -> tuple[list[tuple[Tensor, Tensor, Any, bool]], Tensor, Tensor]:
        """Return for each launch of norms its piece table, its part of the partial sums, its type and alignment.

        With the partial sums of all, and for each tensor its first partial sum and their number.
        """
        ranges = numpy.zeros((len(tensors), 2), numpy.int32)
        tables, begin = [], 0
        for kernel, places in plan.norm_launches(tensors):
            sizes = [(place, tensors[place].size) for place in places]
            tables.append((piece_table(sizes, CHUNK), begin, _TYPES[kernel.storage.gradient.name], kernel.aligned))
            for place, size in sizes:
                ranges[place] = begin, -(-size // CHUNK)
                begin += -(-size // CHUNK)
        partials = torch.zeros(begin, dtype=torch.float64, device=self._device)
        sums = [(self._there(table), partials[first:], dtype, aligned) for table, first, dtype, aligned in tables]
        return sums, partials, self._there(ranges)

    def _there(self, table: NDArray[Any]) -> Tensor:
        """Copy a table that never changes to the device."""
        return torch.from_numpy(table).to(self._device)

    def run(
        self,
        tensors: Integers,
        groups: Doubles,
        rates: Sequence[tuple[int, Tensor]],
        iterations: Tensor,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
        squares: Tensor | None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Do the step of every tensor.

        Args:
            tensors: the tensor table.
            groups: the group table.
            rates: for groups whose learning rate is a tensor, the group and the tensor.
            iterations: int64 tensor without axes, counted up.
            grad_scale: the factor of the loss, a tensor of one float; None without.
            found_inf: a tensor of one float, not zero to skip the step; None never skips.
            squares: sums of squares to use instead of the gradients' own.
            begin: called when all is compiled, before anything is launched.
        """
        tensor_table, group_table = self._tables.send(tensors, groups)
        for group, rate in rates:
            group_table[group, _LEARNING_RATE].copy_(rate.reshape(()), non_blocking=True)
        inverse = None if grad_scale is None else self._inverse
        switches = iterations, found_inf, grad_scale, group_table, self._groups, self._switches, self._inverse
        work: list[_Work] = [(_triton_norms.prepare, 1, switches, _SMALL)]
        if self._clips:
            if squares is None:
                work += self._sum(tensor_table, inverse)
                squares = self.squares
            norms = squares, self._members, self._norms, tensor_table, group_table, self._scales
            work.append((_triton_norms.clip, len(self._norms), norms, _SMALL))
        for pieces, static, scaled in self._steps:
            scales = self._scales if scaled else None
            tables = pieces, tensor_table, group_table, scales, self._switches, inverse
            work.append((step.step, len(pieces), (*tables, *static), _STEP))
        self._launch(work, begin)

    def sum_squares(self, tensors: Integers, grad_scale: Tensor | None) -> Tensor:
        """Sum the squares of each gradient that a norm scales, 0 for others; the next call overwrites the result."""
        tensor_table, _ = self._tables.send(tensors, None)
        if grad_scale is not None:
            self._inverse.copy_(grad_scale.reshape(1).double().reciprocal())
        if self._clips:
            self._launch(self._sum(tensor_table, None if grad_scale is None else self._inverse))
        return self.squares

    def _sum(self, tensor_table: Tensor, inverse: Tensor | None) -> list[_Work]:
        work: list[_Work] = [
            (_triton_norms.square_sums, len(chunks), (chunks, tensor_table, inverse, partials, dtype, aligned), _SMALL)
            for chunks, partials, dtype, aligned in self._sums
        ]
        work.append((_triton_norms.fold, len(self.squares), (self._partials, self._ranges, self.squares), _SMALL))
        return work

    def _launch(self, work: Sequence[_Work], begin: Callable[[], None] | None = None) -> None:
        variant = tuple(tuple(argument is None for argument in arguments) for _, _, arguments, _ in work)
        if self._device.type == "cuda" and variant not in self._compiled:
            # Before anything is written: compiling takes seconds, which Ctrl-C may interrupt.
            for kernel, programs, arguments, options in work:
                kernel.warmup(*arguments, grid=(programs,), **options)
            self._compiled.add(variant)
        if begin is not None:
            begin()
        for kernel, programs, arguments, options in work:
            kernel[(programs,)](*arguments, **options)


def _norm_tables(tensors: Sequence[plan.Tensor]) -> tuple[NDArray[numpy.int32], NDArray[numpy.int32]]:
    """Return the tensors of each norm as tables for `rmsprop._core.cuda.norms.clip`."""
    norms = [([place], 0) for place, one in enumerate(tensors) if one.clips and not one.joint]
    together = [place for place, one in enumerate(tensors) if one.clips and one.joint]
    if together:
        norms.append((together, 1))
    members = numpy.array([place for places, _ in norms for place in places], numpy.int32)
    first = numpy.cumsum([0, *(len(places) for places, _ in norms)])
    rows = [(begin, len(places), whole) for begin, (places, whole) in zip(first, norms, strict=False)]
    return members, numpy.array(rows, numpy.int32)
