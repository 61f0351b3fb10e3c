"""A whole step on torch's tensors: who goes which way, and the norms that all of them share.

What lies on the CPU is stepped in place by its kernels (`_cpu`), what is on a CUDA device by those of Triton (`_cuda`),
anything else by torch's operations (`tensors`). `against_cpu` and `against_cuda` decide.

Where all is on one CUDA device, that device leads: it knows how many steps are done and whether one is skipped, and the
host does not ask. Else the host leads. Everything that can be refused is refused before anything is written, and before
state is made: how an average starts must not depend on a step that was none.
"""

from collections.abc import Sequence
from operator import attrgetter, is_

import numpy
import torch
from torch import Tensor

from rmsprop._core.items import Item
from rmsprop._core.modes import exact, flushes
from rmsprop._torch import mixed, tensors
from rmsprop._torch.cpu import Native
from rmsprop._torch.devices import Devices
from rmsprop._torch.devices import against_cuda as against_cuda  # by this name explain() asks, too
from rmsprop._torch.items import Gradients, Group, States, keep
from rmsprop._torch.moving import Known, collect
from rmsprop._torch.short_way import ShortWay
from rmsprop._torch.slots import against_plain

#: Sets of parameters with a gradient that are remembered: the tasks of a model, say, that train in turn.
_PATTERNS = 64

# Called through `map`, this is the cheapest way to ask many tensors.
_gradient = attrgetter("grad")


class Engine:
    """Steps the parameters of an optimizer; what it keeps between steps can be made again at any time.

    Attributes:
        short: what the next step must be like to go the short way; None: it may not.
    """

    def __init__(self) -> None:
        # Of the last step that was native, and what the next must be like to go the short way.
        self._native: Native | None = None
        self.short: ShortWay | None = None
        # They by the parameters that have a gradient, which may come and go in some patterns, not in endless ones.
        self._natives: dict[tuple[int, ...], tuple[Native, ShortWay | None]] = {}
        self._parameters: list[Tensor] = []
        self._known = Known()
        self._devices = Devices()

    def forget(self) -> None:
        """Let go of what was made from groups and state; not of what a CUDA graph may use when it is replayed."""
        self._native = self.short = None
        self._natives.clear()
        self._parameters = []

    def leader(self, groups: Sequence[Group], gradients: Gradients = None) -> torch.device | None:
        """Give the CUDA device that has all parameters with a gradient; None where the host leads.

        Args:
            groups: the parameter groups.
            gradients: as for `step`.
        """
        found: torch.device | None = None
        given = None if gradients is None else iter(gradients)
        for group in groups:
            for parameter in group.parameters:
                gradient = parameter.grad if given is None else next(given)
                if gradient is None:
                    continue
                if against_cuda(parameter, gradient, group.options) or (found and parameter.device != found):
                    return None
                found = parameter.device
        return found

    def step_on_device(
        self,
        groups: Sequence[Group],
        states: States,
        iterations: Tensor,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
        gradients: Gradients = None,
    ) -> None:
        """Do the step on the device that leads, without waiting for it.

        Args:
            groups: the parameter groups; some parameter has a gradient.
            states: parameter -> slot name -> tensor; what is missing is made.
            iterations: steps done before, on the device, where it is counted up.
            grad_scale: what the loss was multiplied by.
            found_inf: whether to skip the step: not zero.
            gradients: as for `step`.
        """
        items = collect(groups, states, gradients, self._known)
        self._devices.step(items, iterations, grad_scale, found_inf, begin=lambda: keep(items, states))

    def step(
        self,
        groups: Sequence[Group],
        states: States,
        unscale: float | None,
        iterations: int,
        gradients: Gradients = None,
    ) -> bool:
        """Advance all parameters that have a gradient, and make the state that is missing.

        Args:
            groups: the parameter groups.
            states: parameter -> slot name -> tensor.
            unscale: what each gradient is multiplied by before anything else.
            iterations: steps done before.
            gradients: of all parameters, in the order of the groups; None: each has its own, or none.

        Returns:
            Whether there was any gradient.
        """
        held = self.look(groups, states, unscale is not None, gradients)
        if held is None:
            native, short = self._recall(groups, gradients)
            if native is not None and short is not None:
                held = short.gradients(groups, states, unscale is not None, gradients)
        if held is None:
            return self._step(groups, states, unscale, iterations, gradients)
        self.run_again(groups, unscale, iterations)
        return True

    def look(
        self, groups: Sequence[Group], states: States, unscales: bool, gradients: Gradients = None
    ) -> Sequence[Tensor] | None:
        """Give the gradients if the step is like the last one, on the CPU; else None. Arguments as for `step`.

        They must live until `run_again` has returned, and no code of the user's may run before it.
        """
        return None if self.short is None else self.short.gradients(groups, states, unscales, gradients)

    def run_again(self, groups: Sequence[Group], unscale: float | None, iterations: int) -> None:
        """Do the step that `look` has found to be like the last one; arguments as for `step`."""
        assert self._native is not None
        self._native.tell(groups, unscale)
        self._native.run(iterations)

    def _recall(self, groups: Sequence[Group], gradients: Gradients) -> tuple[Native | None, ShortWay | None]:
        """Go on from the last step that moved the parameters which have a gradient now."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        found = [*map(_gradient, parameters)] if gradients is None else gradients
        key = tuple(id(one) for one, gradient in zip(parameters, found, strict=True) if gradient is not None)
        known = self._natives.pop(key, None)
        if known is None:
            return None, None
        self._natives[key] = known  # at the end, farthest from being dropped
        # Forgotten first: an interrupt on the way must not leave one set's parameters with another's step.
        self.short = None
        self._native, self.short = known
        return known

    def _step(
        self, groups: Sequence[Group], states: States, unscale: float | None, iterations: int, gradients: Gradients
    ) -> bool:
        if flushes():  # else what the host works out would be flushed
            with exact():
                return self._step(groups, states, unscale, iterations, gradients)
        self.short = None
        items = collect(groups, states, gradients, self._known)
        if not items:
            return False
        here = [item for item in items if not against_cpu(item)]
        native = self._prepare(here, groups, unscale is not None) if here else None
        arrays = [] if native is None else native.take(here)
        if native is not None:
            native.tell(groups, unscale)
        if native is not None and len(here) == len(items):
            keep(items, states)
            native.run(iterations)
            self.short = native.short_way(groups, items, states, unscale is not None)
            self._natives[_key(here)] = native, self.short
        else:
            self._run_mixed(native, items, states, unscale, iterations)
        del arrays  # until here they must live
        return True

    def _prepare(self, items: Sequence[Item], groups: Sequence[Group], unscales: bool) -> Native:
        scaled = [unscales or item.group.maximize for item in items]
        numbers = {id(group): number for number, group in enumerate(groups)}
        owners = [numbers[id(item.group)] for item in items]
        key = _key(items)
        native, _ = self._natives.pop(key, (None, None))
        if native is not None and native.takes(items):
            native.set_options(items, owners, scaled)
        else:
            self._make_room(groups, is_moved=native is not None)
            native = Native(items, owners, scaled, torch.get_num_threads())
        self._natives[key] = native, None
        self._native = native
        return native

    def _make_room(self, groups: Sequence[Group], is_moved: bool) -> None:
        """Let go of what is known of other parameters than these, of memory that has moved, or of the oldest set."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        same = len(parameters) == len(self._parameters) and all(map(is_, parameters, self._parameters))
        if is_moved or not same:
            # They would keep alive what others have put something in the place of.
            self._natives.clear()
            self._parameters = parameters
        elif len(self._natives) >= _PATTERNS:
            self._natives.pop(next(iter(self._natives)))

    def _run_mixed(
        self,
        native: Native | None,
        items: Sequence[Item],
        states: States,
        unscale: float | None,
        iterations: int,
    ) -> None:
        """Step items that go different ways; a norm that they share is worked out on the host."""
        here = numpy.array([not against_cpu(item) for item in items])
        there: dict[torch.device, list[int]] = {}
        for place, item in enumerate(items):
            if not here[place] and not against_cuda(item.variable, item.gradient, item.group.options):
                there.setdefault(item.variable.device, []).append(place)
        ours = here.copy()
        for places in there.values():
            ours[places] = True
        others = [item for item, is_ours in zip(items, ours, strict=True) if not is_ours]
        scaling = {device: mixed.scale_on(device, unscale) for device in there}
        squares = None
        if any(item.group.options.clips_by_norm for item in items):
            squares = numpy.zeros(len(items))
            squares[~ours] = [
                tensors.square_sum(item.gradient) if item.group.options.clips_by_norm else 0.0 for item in others
            ]
            if native is not None:
                squares[here] = native.square_sums()
            squares *= (unscale or 1.0) ** 2
            for device, places in there.items():
                squares[places] = self._devices.square_sums([items[place] for place in places], scaling[device])
        scales = mixed.clip_scales(items, squares, unscale or 1.0)
        keep(items, states)
        if native is not None:
            native.run(iterations, scales[here])
        for device, places in there.items():
            sums = None if squares is None else torch.from_numpy(mixed.shares(items, squares, places)).to(device)
            count = torch.full((), iterations, dtype=torch.int64, device=device)
            self._devices.step([items[place] for place in places], count, scaling[device], squares=sums)
        if others:
            is_scaled = squares is not None or unscale is not None or any(item.group.maximize for item in items)
            tensors.step(others, scales[~ours].tolist() if is_scaled else None)


def _key(items: Sequence[Item]) -> tuple[int, ...]:
    return tuple(id(item.variable) for item in items)


def against_cpu(item: Item) -> str:
    """Why a parameter is not stepped in the CPU's memory; "" if it is."""
    parameter = item.variable
    if parameter.device.type != "cpu":
        return "not on the CPU"
    return against_plain(parameter) or against_plain(item.gradient)
