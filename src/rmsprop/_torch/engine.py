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

from rmsprop._core.modes import exact, flushes
from rmsprop._torch import tensors
from rmsprop._torch.cpu import Native
from rmsprop._torch.devices import Devices
from rmsprop._torch.devices import against_cuda as against_cuda  # by this name explain() asks, too
from rmsprop._torch.items import Gradients, Group, Item
from rmsprop._torch.moving import Known, collect
from rmsprop._torch.slots import against_plain
from rmsprop._torch.step import States, Step, keep

#: Sets of parameters with a gradient that are remembered: the tasks of a model, say, that train in turn.
_PATTERNS = 64

# Called through `map`, this is the cheapest way to ask many tensors.
_gradient = attrgetter("grad")


class Engine:
    """Steps the parameters of an optimizer; what it keeps between steps can be made again at any time."""

    def __init__(self) -> None:
        self._native: Native | None = None
        self._last: Step | None = None
        # By the parameters that have a gradient, with the last step that went well: they may come and go in some
        # patterns, not in endless ones.
        self._natives: dict[tuple[int, ...], tuple[Native, Step | None]] = {}
        self._parameters: list[Tensor] = []
        self._known = Known()
        self._devices = Devices()

    def forget(self) -> None:
        """Let go of what was made from groups and state; not of what a CUDA graph may use when it is replayed."""
        self._native = self._last = None
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
        if flushes():  # else what a kernel is told would be flushed
            with exact():
                return self.step(groups, states, unscale, iterations, gradients)
        last, native = self._last, self._native
        if last is None or not last.is_like(groups, states, unscale is not None):
            native, last = self._recall(groups, gradients)
            if last is not None and not last.is_like(groups, states, unscale is not None):
                last = None
        if last is not None and native is not None:
            usual = native.usual_gradients(gradients) if native.lies_there() else None
            if usual is not None:  # which must live until the step is done
                self._tell_native(native, last, unscale)
                native.run()
                return True
        return self._step(groups, states, unscale, iterations, gradients)

    def _recall(self, groups: Sequence[Group], gradients: Gradients) -> tuple[Native | None, Step | None]:
        """Go on from the last step that moved the parameters which have a gradient now."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        found = [*map(_gradient, parameters)] if gradients is None else gradients
        key = tuple(id(one) for one, gradient in zip(parameters, found, strict=True) if gradient is not None)
        known = self._natives.pop(key, None)
        if known is None:
            return None, None
        self._natives[key] = known  # at the end, farthest from being dropped
        # Forgotten first: an interrupt on the way must not leave one set's parameters with another's step.
        self._last = None
        self._native, self._last = known
        return known

    def _step(
        self, groups: Sequence[Group], states: States, unscale: float | None, iterations: int, gradients: Gradients
    ) -> bool:
        self._last = None
        items = collect(groups, states, gradients, self._known)
        if not items:
            return False
        step = Step(groups, items, unscale is not None)
        here = [item for item in items if not against_cpu(item)]
        native = self._prepare(here, step, groups) if here else None
        arrays = [] if native is None else native.admit(here)
        if native is not None and len(here) == len(items):
            self._tell_native(native, step, unscale)
            keep(items, states)
            native.run()
            step.see(states)
            self._natives[_key(here)] = native, step
            self._last = step
        else:
            self._run_mixed(native, items, states, step, unscale, iterations)
        del arrays  # until here they must live
        return True

    def _prepare(self, items: Sequence[Item], step: Step, groups: Sequence[Group]) -> Native:
        scaled = [step.scales(item.group) for item in items]
        key = _key(items)
        native, _ = self._natives.pop(key, (None, None))
        if native is not None and native.takes(items):
            native.set_options(items, scaled)
        else:
            self._make_room(groups, is_moved=native is not None)
            native = Native(items, scaled, torch.get_num_threads())
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

    def _tell_native(self, native: Native, step: Step, unscale: float | None) -> None:
        squares = native.square_sums() if step.clips else None
        if squares is not None and unscale is not None:
            squares = squares * unscale**2
        scales = step.clip_scales(squares, 1.0 if unscale is None else unscale) if step.is_scaled else None
        native.tell(scales, step.rates(), step.overwrites())

    def _run_mixed(
        self,
        native: Native | None,
        items: Sequence[Item],
        states: States,
        step: Step,
        unscale: float | None,
        iterations: int,
    ) -> None:
        """Step items that go different ways; a norm that they share is worked out on the host."""
        here = numpy.array([not against_cpu(item) for item in items])
        there: dict[torch.device, list[int]] = {}
        for place, item in enumerate(items):
            if not here[place] and not against_cuda(item.parameter, item.gradient, item.group.options):
                there.setdefault(item.parameter.device, []).append(place)
        ours = here.copy()
        for places in there.values():
            ours[places] = True
        others = [item for item, is_ours in zip(items, ours, strict=True) if not is_ours]
        scaling = {device: _scale_on(device, unscale) for device in there}
        squares = None
        if step.clips:
            squares = numpy.zeros(len(items))
            squares[~ours] = [
                tensors.square_sum(item.gradient) if item.group.options.clips_by_norm else 0.0 for item in others
            ]
            if native is not None:
                squares[here] = native.square_sums()
            squares *= (unscale or 1.0) ** 2
            for device, places in there.items():
                squares[places] = self._devices.square_sums([items[place] for place in places], scaling[device])
        scales = None
        if step.is_scaled:
            scales = numpy.broadcast_to(step.clip_scales(squares, unscale or 1.0), len(items))
        if native is not None:
            rates, overwrites = (numpy.broadcast_to(one, len(here)) for one in (step.rates(here), step.overwrites()))
            native.tell(None if scales is None else scales[here], rates[here], overwrites[here])
        keep(items, states)
        if native is not None:
            native.run()
        for device, places in there.items():
            sums = None if squares is None else torch.from_numpy(step.shares(squares, places)).to(device)
            count = torch.full((), iterations, dtype=torch.int64, device=device)
            self._devices.step([items[place] for place in places], count, scaling[device], squares=sums)
        if others:
            tensors.step(others, None if scales is None else [float(scale) for scale in scales[~ours]])


def _key(items: Sequence[Item]) -> tuple[int, ...]:
    return tuple(id(item.parameter) for item in items)


def against_cpu(item: Item) -> str:
    """Why a parameter is not stepped in the CPU's memory; "" if it is."""
    parameter = item.parameter
    if parameter.device.type != "cpu":
        return "not on the CPU"
    return against_plain(parameter) or against_plain(item.gradient)


def _scale_on(device: torch.device, unscale: float | None) -> Tensor | None:
    # As `GradScaler` has it; the default type may be one in which a scale is infinite.
    return None if unscale is None else torch.full((1,), 1 / unscale, dtype=torch.float32, device=device)
