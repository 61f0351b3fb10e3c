"""A whole step on torch's tensors: who goes which way, and the norms that all of them share.

What lies on the CPU is stepped in place by the kernels (`_cpu`), anything else by torch's operations (`_tensors`).
Everything that can be refused is refused before anything is written.
"""

from collections.abc import MutableMapping, Sequence
from operator import is_
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.engines._scalars import clip_scales
from rmsprop.engines.torch import _tensors
from rmsprop.engines.torch._cpu import Native
from rmsprop.engines.torch._items import Group, Item
from rmsprop.engines.torch._slots import TYPES, complete, is_plain

#: Sets of parameters with a gradient that are remembered.
_PATTERNS = 8

States = MutableMapping[Tensor, dict[str, Any]]


class Engine:
    """Steps the parameters of an optimizer; what it keeps between steps can be made again at any time."""

    def __init__(self) -> None:
        self._native: Native | None = None
        # By the parameters that have a gradient: they may come and go in a few patterns, not in endless ones.
        self._natives: dict[tuple[int, ...], Native] = {}
        self._last: _Step | None = None

    def step(self, groups: Sequence[Group], states: States, unscale: float | None) -> bool:
        """Advance all parameters that have a gradient, and make the state that is missing.

        Args:
            groups: the parameter groups.
            states: parameter -> slot name -> tensor.
            unscale: what each gradient is multiplied by before anything else.

        Returns:
            Whether there was any gradient.
        """
        last = self._last
        native = self._native
        if last is not None and native is not None and last.is_like(groups, states, unscale is not None):
            gradients = native.usual_gradients() if native.lies_there() else None
            if gradients is not None:  # which must live until the step is done
                self._run_native(native, last, unscale)
                return True
        return self._step(groups, states, unscale)

    def _step(self, groups: Sequence[Group], states: States, unscale: float | None) -> bool:
        self._last = None
        items = _collect(groups, states)
        if not items:
            return False
        step = _Step(groups, states, items, unscale is not None)
        here = [item for item in items if _is_native(item)]
        native = self._prepare(here, step) if here else None
        arrays = [] if native is None else native.admit(here)
        if native is not None and len(here) == len(items):
            self._run_native(native, step, unscale)
            self._last = step
        else:
            self._run_mixed(native, items, step, unscale)
        del arrays  # until here they must live
        return True

    def _prepare(self, items: Sequence[Item], step: "_Step") -> Native:
        scaled = [step.scales(item.group) for item in items]
        key = tuple(id(item.parameter) for item in items)
        native = self._natives.pop(key, None)
        if native is not None and native.takes(items):
            native.set_options(items, scaled)
        else:
            if native is not None or len(self._natives) >= _PATTERNS:
                # Memory has moved, and the others would keep the old one alive.
                self._natives.clear()
            native = Native(items, scaled, torch.get_num_threads())
        self._natives[key] = native
        self._native = native
        return native

    def _run_native(self, native: Native, step: "_Step", unscale: float | None) -> None:
        squares = native.square_sums() if step.clips else None
        scales = step.clip_scales(squares, 1.0 if unscale is None else unscale) if step.is_scaled else None
        native.run(scales, step.rates(), step.overwrites())

    def _run_mixed(self, native: Native | None, items: Sequence[Item], step: "_Step", unscale: float | None) -> None:
        """Step items some of which are on other devices.

        A kernel for one of them takes its items out of `others` here: it gets what `_tensors.step` gets, and its
        gradients' sums of squares, if it can do better than `_tensors.square_sum`, go into `squares`.
        """
        here = numpy.array([_is_native(item) for item in items])
        others = [item for item in items if not _is_native(item)]
        squares = None
        if step.clips:
            squares = numpy.zeros(len(items))
            squares[~here] = [
                _tensors.square_sum(item.gradient) if item.group.options.clips_by_norm else 0.0 for item in others
            ]
            if native is not None:
                squares[here] = native.square_sums()
        scales = None
        if step.is_scaled:
            scales = numpy.broadcast_to(step.clip_scales(squares, unscale or 1.0), len(items))
        if native is not None:
            rates, overwrites = (numpy.broadcast_to(one, len(here)) for one in (step.rates(here), step.overwrites()))
            native.run(None if scales is None else scales[here], rates[here], overwrites[here])
        listed = None if scales is None else [float(scale) for scale in scales[~here]]
        _tensors.step(others, listed)


class _Step:
    """What a step was like: as long as the next is alike, little of it needs to be looked at again.

    Attributes:
        clips: whether a norm clips any of them.
        is_scaled: whether any gradient is multiplied by a number.
    """

    def __init__(self, groups: Sequence[Group], states: States, items: Sequence[Item], unscales: bool) -> None:
        self._count = len(items)
        self._unscales = unscales
        self._options = [(group.options, group.maximize) for group in groups]
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        moving = {id(item.parameter) for item in items}
        self._resting = [parameter for parameter in self._parameters if id(parameter) not in moving]
        self._states = [*states.values()]
        self._slots = [slot for one in self._states for slot in one.values()]
        self.clips = any(item.group.options.clips_by_norm for item in items)
        self.is_scaled = any(self.scales(item.group) or item.group.options.clips_by_norm for item in items)
        owners = [item.group for item in items]
        moved = [(group, [place for place, owner in enumerate(owners) if owner is group]) for group in groups]
        self._places = [(group, numpy.array(places)) for group, places in moved if places]
        self._together = numpy.array(
            [place for place, owner in enumerate(owners) if owner.options.global_clipnorm is not None], numpy.int64
        )

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
        """Tell what each gradient is multiplied by: for clipping, to undo a loss scale, to go up instead of down."""
        if len(self._places) == 1:
            return self._group_scales(self._places[0][0], squares, squares, unscale)
        found = numpy.ones(self._count)
        together = None if squares is None else squares[self._together]
        for group, places in self._places:
            found[places] = self._group_scales(group, together, None if squares is None else squares[places], unscale)
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
        return factor * clip_scales(group.options, mine if unscale == 1 else mine * unscale**2)

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


def _collect(groups: Sequence[Group], states: States) -> list[Item]:
    """List the parameters that have a gradient, in the order of the groups, after all of them are checked."""
    moving = [
        (group, place, parameter)
        for group in groups
        for place, parameter in enumerate(group.parameters)
        if parameter.grad is not None
    ]
    for group, place, parameter in moving:
        _check(parameter, group.describe(place))
    items = []
    for group, place, parameter in moving:
        assert parameter.grad is not None
        slots = complete(group.options, parameter, states[parameter])
        items.append(Item(parameter, parameter.grad, slots, group, group.decays(place), group.describe(place)))
    return items


def _check(parameter: Tensor, name: str) -> None:
    if parameter.dtype not in TYPES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in TYPES)
        raise TypeError(f"{name} has the type {parameter.dtype}: it must be one of {known}")
    if parameter.layout is not torch.strided:
        raise TypeError(f"{name} has the layout {parameter.layout}: it must be torch.strided")
    if parameter.is_conj() or parameter.is_neg():
        raise ValueError(f"{name} is a view that conjugates or negates another tensor: clone it")


def _is_native(item: Item) -> bool:
    parameter = item.parameter
    return parameter.device.type == "cpu" and is_plain(parameter) and is_plain(item.gradient)
