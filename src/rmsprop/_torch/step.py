"""What a step was like, and the numbers by which its gradients are multiplied."""

from collections.abc import MutableMapping, Sequence
from operator import is_
from typing import Any

import numpy
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core.scalars import clip_scales
from rmsprop._torch.items import Group, Item

States = MutableMapping[Tensor, dict[str, Any]]


def keep(items: Sequence[Item], states: States) -> None:
    """Put slots that were made for items into the state: when all of them are made, and nothing can be refused."""
    for item in items:
        state = states[item.parameter]
        for name, slot in item.slots.items():
            if state.get(name) is not slot:
                state[name] = slot


class Step:
    """What a step was like: as long as the next is alike, little of it needs to be looked at again.

    Attributes:
        clips: whether a norm clips any of them.
        is_scaled: whether any gradient is multiplied by a number.
    """

    def __init__(self, groups: Sequence[Group], items: Sequence[Item], unscales: bool) -> None:
        self._count = len(items)
        self._unscales = unscales
        self._options = [(group.options, group.maximize) for group in groups]
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        moving = {id(item.parameter) for item in items}
        self._resting = [parameter for parameter in self._parameters if id(parameter) not in moving]
        self._states: list[Any] = []
        self._slots: list[Any] = []
        self.clips = any(item.group.options.clips_by_norm for item in items)
        self.is_scaled = any(self.scales(item.group) or item.group.options.clips_by_norm for item in items)
        owners = [item.group for item in items]
        moved = [(group, [place for place, owner in enumerate(owners) if owner is group]) for group in groups]
        self._places = [(group, numpy.array(places)) for group, places in moved if places]
        self._together = numpy.array(
            [place for place, owner in enumerate(owners) if owner.options.global_clipnorm is not None], numpy.int64
        )

    def see(self, states: States) -> None:
        """Write down the state as the step has left it."""
        self._states = [*states.values()]
        self._slots = [slot for one in self._states for slot in one.values()]

    def is_like(self, groups: Sequence[Group], states: States, unscales: bool) -> bool:
        """Whether groups, parameters and state are those of this step; gradients may differ."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        return (
            unscales is self._unscales
            and _are(parameters, self._parameters)
            and [(group.options, group.maximize) for group in groups] == self._options
            and _are([*states.values()], self._states)
            and _are([slot for one in self._states for slot in one.values()], self._slots)
            and (not self._resting or all(parameter.grad is None for parameter in self._resting))
        )

    def scales(self, group: Group) -> bool:
        """Whether a group's gradients are multiplied by a number although no norm clips."""
        return self._unscales or group.maximize

    def clip_scales(self, squares: NDArray[numpy.float64] | None, unscale: float) -> float | NDArray[numpy.float64]:
        """Tell what each gradient is multiplied by: for clipping, to undo a loss scale, to go up instead of down.

        The squares are those of gradients without the loss scale.
        """
        if len(self._places) == 1:
            return self._group_scales(self._places[0][0], squares, squares, unscale)
        found = numpy.ones(self._count)
        together = None if squares is None else squares[self._together]
        for group, places in self._places:
            found[places] = self._group_scales(group, together, None if squares is None else squares[places], unscale)
        return found

    def shares(self, squares: NDArray[numpy.float64], places: Sequence[int]) -> NDArray[numpy.float64]:
        """Give the sums of squares of some items, such that those of a global norm add up to that of all items."""
        found = squares[places]
        mine = numpy.isin(places, self._together)
        if mine.any():
            found[mine] = 0.0
            found[numpy.flatnonzero(mine)[0]] = numpy.add.accumulate(squares[self._together])[-1]
        return found

    def _group_scales(
        self,
        group: Group,
        together: NDArray[numpy.float64] | None,
        squares: NDArray[numpy.float64] | None,
        unscale: float,
    ) -> float | NDArray[numpy.float64]:
        factor = -unscale if group.maximize else unscale
        # A global norm is that of all groups that have one.
        mine = squares if group.options.global_clipnorm is None else together
        if not group.options.clips_by_norm or mine is None:
            return factor
        return factor * clip_scales(group.options, mine)

    def rates(self, wanted: NDArray[numpy.bool_] | None = None) -> float | NDArray[numpy.float64]:
        """Give the learning rate of all items, or of each; those that are not `wanted` are not asked for."""
        if len(self._places) == 1:
            return float(self._places[0][0].rate)
        found = numpy.zeros(self._count)
        for group, places in self._places:
            if wanted is None or wanted[places].any():
                found[places] = float(group.rate)
        return found

    def overwrites(self) -> bool | NDArray[numpy.bool_]:
        """Tell of all items, or of each, whether it becomes its average."""
        if len(self._places) == 1:
            return self._places[0][0].overwrite
        found = numpy.zeros(self._count, bool)
        for group, places in self._places:
            found[places] = group.overwrite
        return found


def _are(these: Sequence[Any], those: Sequence[Any]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))
