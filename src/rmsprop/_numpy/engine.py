"""A whole step on NumPy arrays: checks, norms, buckets and the launch.

What holds for a pattern of gradients - which are there, how they are stored, how they lie - is worked out once and
kept as a plan. A step then checks that the pattern is the same, writes addresses and scalars into the plan's tables
and launches. Everything that can be refused is refused before anything is written.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from rmsprop._core.arrays import Array, MemoryMap, address, is_float
from rmsprop._core.forks import loading
from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse, is_masked
from rmsprop._core.scalars import clip_scales
from rmsprop.compilers._threads import default_threads
from rmsprop.engines._gradients import admit, start_of
from rmsprop.engines._kinds import FLAT, Kind

if TYPE_CHECKING:
    from rmsprop.engines._buckets import Member
    from rmsprop.engines._plan import Plan

Gradient = Array | RowSparse

#: Plans kept: gradients may come and go (None) in some patterns, not in endless ones.
_PLANS = 64


class Target(NamedTuple):
    """A variable as it was at build, to be compared at every step."""

    name: str
    array: Array
    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]
    strides: tuple[int, ...]
    address: int
    nbytes: int
    contiguous: bool

    def check(self, writing: bool = True) -> None:
        """Raise a ValueError if the array is no longer what it was, or cannot be written to."""
        array = self.array
        if writing and not array.flags.writeable:
            raise ValueError(f"variable {self.name!r} has become read-only; it would have to be written to")
        same = array.shape == self.shape and array.dtype is self.dtype and array.strides == self.strides
        if not same or address(array) != self.address:
            raise ValueError(f"variable {self.name!r} was resized, reshaped or retyped since build: its state is lost")


class Engine:
    """Steps on variables that were checked at build.

    Args:
        options: the checked arguments.
        names: a name for each variable, for error texts.
        variables: arrays that own disjoint memory.
        slots: slot name -> an array for each variable, without gaps, its axes in memory as the variable's.
        decayed: for each variable, whether weight decay applies.
    """

    def __init__(
        self,
        options: Options,
        names: Sequence[str],
        variables: Sequence[Array],
        slots: dict[str, list[Array]],
        decayed: Sequence[bool],
    ) -> None:
        self._options = options
        self._slots = slots
        self._decayed = decayed
        self._targets = [_target(name, array) for name, array in zip(names, variables, strict=True)]
        self._memory = MemoryMap([*variables, *(array for arrays in slots.values() for array in arrays)])
        self._plans: dict[tuple[Kind, ...], Plan] = {}

    def prepare(
        self, gradients: Mapping[int, Any], learning_rate: float, overwrite: bool
    ) -> tuple["Plan", Sequence[Gradient]]:
        """Give what does a step; nothing that can be refused is left then, and nothing is written yet.

        Args:
            gradients: by the variables' numbers.
            learning_rate: of the step.
            overwrite: whether the variables become their averages.

        Returns:
            The plan to run, and what must live until it has run.
        """
        kinds: list[Kind] = []
        addresses: list[int] = []
        arrays: list[Gradient] = []
        touches = self._memory.touches
        for index, gradient in gradients.items():
            target = self._targets[index]
            _, array, shape, dtype, strides, at, nbytes, contiguous = target
            if (
                address(array) != at
                or array.strides != strides
                or array.shape != shape
                or array.dtype is not dtype
                or not array.flags.writeable
            ):
                target.check()
            if (
                type(gradient) is numpy.ndarray
                and gradient.dtype is dtype
                and gradient.shape == shape
                and contiguous
                and gradient.flags.c_contiguous
                and not touches(start := address(gradient), start + nbytes)
            ):
                kinds.append((index, FLAT, dtype))
                addresses.append(start)
                arrays.append(gradient)
            else:
                kind, usable = self._admit(index, gradient)
                kinds.append(kind)
                addresses.append(start_of(kind, usable))
                arrays.append(usable)
        plan = self._plan(tuple(kinds))
        plan.set_gradients(addresses, arrays)
        if self._options.clips_by_norm:
            plan.set_scalars("clip_scale", clip_scales(self._options, plan.square_sums()))
        plan.set_scalars("learning_rate", learning_rate)
        plan.set_scalars("overwrite", overwrite)
        return plan, arrays

    def check(self, writing: bool = True) -> None:
        """Raise a ValueError if a variable is no longer what it was at build, or cannot be written to."""
        for target in self._targets:
            target.check(writing)

    def _admit(self, index: int, gradient: Any) -> tuple[Kind, Gradient]:
        """Check a gradient that is not of the usual kind, and bring it into a form that a kernel reads."""
        target = self._targets[index]
        if not isinstance(gradient, RowSparse):
            gradient = _as_array(target, gradient)
        if not is_float(gradient.dtype.newbyteorder("=")):
            raise TypeError(
                f"the gradient of variable {target.name!r} has the type {gradient.dtype}: "
                "float16, bfloat16, float32 or float64 is needed"
            )
        if gradient.shape != target.shape:
            raise ValueError(
                f"the gradient of variable {target.name!r} has the shape {gradient.shape}, the variable {target.shape}"
            )
        return admit(index, target.array, gradient, self._memory)

    def members(self) -> list["Member"]:
        """List the variables as plans know them."""
        from rmsprop.engines._buckets import Member

        return [
            Member(
                target.array,
                {name: arrays[index] for name, arrays in self._slots.items()},
                self._options,
                self._decayed[index],
            )
            for index, target in enumerate(self._targets)
        ]

    def _plan(self, kinds: tuple[Kind, ...]) -> "Plan":
        plan = self._plans.pop(kinds, None)
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)))
            # Imported when there is a first step: what only steps need is not waited for at `import rmsprop`.
            with loading():
                from rmsprop.engines._plan import Plan

            plan = Plan(kinds, self.members(), default_threads())
        self._plans[kinds] = plan  # at the end, farthest from being dropped
        return plan


def _target(name: str, array: Array) -> Target:
    at, contiguous = address(array), array.flags.c_contiguous
    return Target(name, array, array.shape, array.dtype, array.strides, at, array.nbytes, contiguous)


def _as_array(target: Target, gradient: Any) -> Array:
    if is_masked(gradient):
        raise TypeError(f"the gradient of variable {target.name!r} is a masked array: fill it first")
    try:
        return numpy.asarray(gradient)
    except ValueError as error:
        raise ValueError(f"the gradient of variable {target.name!r} is no array: {error}") from error
    except (RuntimeError, TypeError) as error:  # as torch says that a tensor is on a device, or is differentiated
        raise TypeError(f"the gradient of variable {target.name!r} is not to be read by NumPy: {error}") from error
