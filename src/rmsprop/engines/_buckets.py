"""How the tensors of a step are sorted into buckets: what one kernel call serves.

That is the same storage types, the same options on, and either all contiguous or not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from rmsprop._core.arrays import Array, memory_order
from rmsprop._core.fallback import kernels, told
from rmsprop._core.options import Options
from rmsprop._core.scalars import changing, constants, storage_of
from rmsprop._core.switches import native_by_default
from rmsprop.compilers._layout import Storage
from rmsprop.engines._kinds import FLAT, ITSELF, Kind


class Member(NamedTuple):
    """A variable that steps may move.

    Attributes:
        variable: its array.
        slots: slot name -> array without gaps, its axes in memory as the variable's.
        options: the checked arguments.
        decays: whether weight decay applies.
        scaled: whether its gradient is multiplied by a number although no norm clips.
        turn: which launches it comes after: all with a lower number. Variables that share memory differ in it.
    """

    variable: Array
    slots: Mapping[str, Array]
    options: Options
    decays: bool
    scaled: bool = False
    turn: int = 0

    def constants(self) -> dict[str, float]:
        """Give the scalars that are on and stay as they are."""
        return constants(self.options, self.decays)

    def changing(self) -> list[str]:
        """Name the scalars that are on and differ from step to step."""
        found = changing(self.options)
        return found if not self.scaled or self.options.clips_by_norm else [*found, "clip_scale"]

    def pattern(self) -> tuple[Any, ...]:
        """Give what all members of a launch have in common, apart from how their numbers lie and are stored."""
        return self.turn, tuple(self.slots), (*self.constants(), *self.changing()), self.options.jit_compile


class StepBucket(NamedTuple):
    """Tensors that one launch steps.

    Attributes:
        storage: how all of them are stored.
        flat: whether all of them are contiguous.
        places: where they stand among the step's gradients.
    """

    storage: Storage
    flat: bool
    places: list[int]


class NormBucket(NamedTuple):
    """Gradients whose norms one launch takes.

    Attributes:
        dtype: how all of them are stored.
        flat: whether all of them are contiguous.
        compiles: whether a kernel does it.
        places: where they stand among the step's gradients.
    """

    dtype: numpy.dtype[Any]
    flat: bool
    compiles: bool
    places: list[int]


def step_buckets(kinds: Sequence[Kind], members: Sequence[Member]) -> list[StepBucket]:
    """Sort the gradients of a step, given by their kinds, in the order in which their buckets are run."""
    found: dict[Any, list[int]] = {}
    for place, kind in enumerate(kinds):
        index, _, dtype = kind
        member = members[index]
        storage = storage_of(member.options, member.variable.dtype, dtype)
        found.setdefault((member.pattern(), storage, _lies_like(member.variable, kind)), []).append(place)
    in_turn = sorted(found.items(), key=lambda item: item[0][0][0])
    return [StepBucket(storage, flat, places) for (_, storage, flat), places in in_turn]


def norm_buckets(kinds: Sequence[Kind], members: Sequence[Member]) -> list[NormBucket]:
    """Sort the gradients of which a norm is taken."""
    found: dict[Any, list[int]] = {}
    for place, kind in enumerate(kinds):
        index, _, dtype = kind
        member = members[index]
        if member.options.clips_by_norm:
            compiles, flat = runs_kernels(member.options), _is_row_major(member.variable, kind)
            found.setdefault((dtype, flat, compiles), []).append(place)
    return [NormBucket(dtype, flat, compiles, places) for (dtype, flat, compiles), places in found.items()]


def count_launches(kinds: Sequence[Kind], members: Sequence[Member]) -> int:
    """Count the kernel calls of a step whose members all are native."""
    return len(step_buckets(kinds, members)) + len(norm_buckets(kinds, members))


def as_it_lies(index: int, variable: Array) -> Kind:
    """Give the kind of a gradient that is stored and lies as its variable does."""
    return index, FLAT if variable.flags.c_contiguous else variable.strides, variable.dtype


def against_kernels(options: Options, *, warns: bool = False) -> str:
    """Why no compiled kernel does a step on arrays of the CPU; "" if one does.

    Args:
        options: the checked arguments.
        warns: whether to say so, once in a process, to those who did not ask for it.

    Warns:
        UserWarning: kernels should do it, and cannot; see `rmsprop._core.fallback`.
    """
    if not options.jit_compile:
        return "jit_compile=False"
    reason = kernels()
    return told(reason) if reason and warns and native_by_default() else reason


def runs_kernels(options: Options) -> bool:
    """Whether compiled kernels do a step; warns as `against_kernels` does."""
    return not against_kernels(options, warns=True)


def _lies_like(variable: Array, kind: Kind) -> bool:
    """Whether variable and gradient are one block of memory each, in the same order."""
    _, lie, dtype = kind
    if lie != variable.strides or dtype.itemsize != variable.itemsize:
        return lie == FLAT
    return bool(variable.transpose(memory_order(variable)).flags.c_contiguous)


def _is_row_major(variable: Array, kind: Kind) -> bool:
    """Whether the gradient is one block of memory in row-major order, in which norms are summed."""
    lie = kind[1]
    return lie == FLAT or (lie == ITSELF and variable.flags.c_contiguous)
