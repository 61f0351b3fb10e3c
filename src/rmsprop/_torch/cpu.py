"""Steps on the CPU's memory, in place, by the kernels of the NumPy engine.

`Native` is made for parameters and their state as they lie. Before each step it is asked whether they still lie so, by
a few passes over all tensors that each are one call of C code a tensor: nothing else of a small model's step takes as
long. Gradients are as before in most steps; then only their addresses are looked up. Else each is looked at.

Kernels are given addresses. So what a tensor looks like, where it is and how large its storage is must be what was
written down, all three: memory may be viewed anew as another type where it is, and be resized under its tensors.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter, is_
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop._core.arrays import MemoryMap, first_overlap, shares_memory
from rmsprop._torch.arrays import as_array, gradient_array, reach
from rmsprop._torch.items import Item
from rmsprop._torch.looks import Looks
from rmsprop.engines._buckets import Member, runs_kernels
from rmsprop.engines._gradients import admit, start_of
from rmsprop.engines._kinds import ROWS, Kind
from rmsprop.engines._plan import Plan

#: Plans kept: gradients may come and go (None) in some patterns, not in endless ones.
_PLANS = 64

# Called through `map`, these are the cheapest ways to ask many tensors.
_start, _storage, _bytes = torch.Tensor.data_ptr, torch.Tensor.untyped_storage, torch.UntypedStorage.nbytes
_begin, _gradient = torch.UntypedStorage.data_ptr, attrgetter("grad")


class Native:
    """Parameters on the CPU with their state, and the plans to step them.

    Args:
        items: those that have a gradient now.
        scaled: for each, whether its gradient is multiplied by a number although no norm clips.
        threads: how many a launch may use.
    """

    def __init__(self, items: Sequence[Item], scaled: Sequence[bool], threads: int) -> None:
        self.parameters = [item.parameter for item in items]
        self._slots = [item.slots for item in items]
        self._threads = threads
        self._written = [*self.parameters, *(tensor for slots in self._slots for tensor in slots.values())]
        self._starts = [*map(_start, self._written)]
        self._sizes = [*map(_bytes, map(_storage, self._written))]
        self._looks = Looks(self._written)
        # Used only in steps before which all of this is found to be so still: they keep no memory alive.
        variables = [as_array(parameter, holds=False) for parameter in self.parameters]
        slots = [{name: as_array(tensor, holds=False) for name, tensor in one.items()} for one in self._slots]
        turns = turns_of(variables)
        self._members = [
            Member(variable, mine, item.group.options, item.decays, scales, turn)
            for item, variable, mine, scales, turn in zip(items, variables, slots, scaled, turns, strict=True)
        ]
        self._memory = MemoryMap([*variables, *(array for mine in slots for array in mine.values())])
        self._plans: dict[tuple[Kind, ...], Plan] = {}
        # Of the last step, if the next may go the short way: its plan, and its gradients' looks and lengths in bytes.
        self._plan: Plan | None = None
        self._usual: Looks | None = None
        self._reaches: list[int] = []
        # Where they were told to be, and how many bytes their storages had.
        self._seen: list[int] | None = None
        self._lengths: list[int] = []

    def lies_there(self, slots: Sequence[Mapping[str, Tensor]] | None = None) -> bool:
        """Whether memory is as it was: where it was, of the same types and order, and the state of the same tensors."""
        if slots is not None:
            tensors = [tensor for one in slots for tensor in one.values()]
            kept = self._written[len(self.parameters) :]
            if len(tensors) != len(kept) or not all(map(is_, tensors, kept)):
                return False
        return (
            [*map(_start, self._written)] == self._starts
            and [*map(_bytes, map(_storage, self._written))] == self._sizes
            and self._looks.are_of(self._written)
            and torch.get_num_threads() == self._threads
        )

    def takes(self, items: Sequence[Item]) -> bool:
        """Whether it was made for just these parameters, and they lie as they did."""
        mine = self.parameters
        same = len(items) == len(mine) and all(item.parameter is one for item, one in zip(items, mine, strict=True))
        return same and self.lies_there([item.slots for item in items])

    def set_options(self, items: Sequence[Item], scaled: Sequence[bool]) -> None:
        """Tell options that may have changed; the state is that of before."""
        members = [
            member._replace(options=item.group.options, decays=item.decays, scaled=scales)
            for member, item, scales in zip(self._members, items, scaled, strict=True)
        ]
        self._plan = self._usual = None
        if [one.pattern() for one in members] != [one.pattern() for one in self._members]:
            self._plans.clear()
        for plan in self._plans.values():
            plan.set_constants(members)
        self._members = members

    def usual_gradients(self, given: Sequence[Tensor] | None = None) -> Sequence[Tensor] | None:
        """Give the gradients if they lie as in the last step, in memory that the step does not write to; else None.

        Args:
            given: they, if they are not the parameters' own.
        """
        if self._usual is None or self._plan is None:
            return None
        found = [*map(_gradient, self.parameters)] if given is None else given
        try:
            # Where there is none, or one that is sparse, this raises.
            if not self._usual.are_of(found):
                return None
        except (TypeError, RuntimeError):
            return None
        storages = [*map(_storage, found)]
        starts, sizes = [*map(_start, found)], [*map(_bytes, storages)]
        if starts != self._seen or sizes != self._lengths:
            touches = self._memory.touches
            for start, size, begin, length in zip(starts, sizes, map(_begin, storages), self._reaches, strict=True):
                end = start + length
                if length and (start == 0 or end > begin + size or touches(start, end)):
                    return None
            # Forgotten first: an interrupt on the way must not leave addresses that nobody knows of.
            self._seen = None
            # Tensors stand for arrays here: those that are dense are not looked at.
            self._plan.set_gradients(starts, found)  # type: ignore[arg-type]
            self._lengths = sizes
            self._seen = starts
        return found

    def admit(self, items: Sequence[Item]) -> list[Any]:
        """Bring all gradients into a form that kernels read, and give what must live until the step is done."""
        self._plan = self._usual = self._seen = None
        kinds: list[Kind] = []
        arrays: list[Any] = []
        for index, item in enumerate(items):
            kind, usable = admit(index, self._members[index].variable, gradient_array(item.gradient), self._memory)
            kinds.append(kind)
            arrays.append(usable)
        plan = self._find(tuple(kinds))
        plan.set_gradients([*map(start_of, kinds, arrays)], arrays)
        self._plan = plan
        self._remember([item.gradient for item in items], kinds)
        return arrays

    def _remember(self, gradients: Sequence[Tensor], kinds: Sequence[Kind]) -> None:
        """Write down how gradients lie, so that the next step may go the short way; a plan without kernels may not."""
        dense = all(kind[1] != ROWS for kind in kinds) and all(runs_kernels(member.options) for member in self._members)
        if dense and all(map(_is_as_it_lies, gradients)):
            self._reaches = [*map(reach, gradients)]
            self._usual = Looks(gradients)

    def _find(self, kinds: tuple[Kind, ...]) -> Plan:
        plan = self._plans.pop(kinds, None)
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)))
            plan = Plan(kinds, self._members, self._threads)
        self._plans[kinds] = plan  # at the end, farthest from being dropped
        return plan

    def square_sums(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient; 0 for those that no norm clips."""
        assert self._plan is not None
        return self._plan.square_sums()

    def tell(
        self,
        scales: float | NDArray[Any] | None,
        rates: float | NDArray[Any],
        overwrites: bool | NDArray[Any],
    ) -> None:
        """Tell the step's numbers, for all parameters, or an array with one for each; after it nothing is refused."""
        plan = self._plan
        assert plan is not None
        if scales is not None:
            plan.set_scalars("clip_scale", scales)
        plan.set_scalars("learning_rate", rates)
        plan.set_scalars("overwrite", overwrites)

    def run(self) -> None:
        """Do the step."""
        assert self._plan is not None
        try:
            self._plan.run()
        finally:
            # What a graph has saved is not there any more, and backward through it has to notice.
            increment_version(self._written)


def _is_as_it_lies(gradient: Tensor) -> bool:
    """Whether a gradient's numbers are those in memory."""
    return gradient.layout is torch.strided and not gradient.is_neg() and not gradient.is_conj()


def turns_of(variables: Sequence[NDArray[Any]]) -> list[int]:
    """Let parameters that share memory, or are one and the same, be stepped one after the other, as torch does."""
    turns = [0] * len(variables)
    if first_overlap(variables) is not None:
        for place, variable in enumerate(variables):
            earlier = [turns[other] for other in range(place) if shares_memory(variable, variables[other])]
            turns[place] = 1 + max(earlier, default=-1)
    return turns
