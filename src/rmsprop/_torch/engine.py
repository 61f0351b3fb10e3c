"""A whole step on torch's tensors: which kernels or operations step each parameter, and the norms that all share.

Parameters on the CPU are stepped in place by compiled kernels (`cpu`), those on a CUDA device by Triton's (`cuda`), any
other by torch's operations (`traced`). `against_cpu` and `against_cuda` decide.

Where all parameters are on one CUDA device, that device leads: it knows how many steps are done and whether one is
skipped, and the host does not wait. Otherwise the host leads. Everything that can be refused is refused before anything
is written, and before state is made: the start of an average must not depend on a step that was refused.
"""

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any, final

import numpy
import torch
from torch import Tensor

from rmsprop._core.items import Item
from rmsprop._core.modes import exact, flushes
from rmsprop._core.switches import against_native
from rmsprop._torch import mixed, traced
from rmsprop._torch.cpu import Native
from rmsprop._torch.devices import against_cuda as against_cuda  # explain() asks for it by this name, too
from rmsprop._torch.devices import cuda_module
from rmsprop._torch.interface import Gradients, Group, States
from rmsprop._torch.slots import against_plain
from rmsprop._torch.step_variables import Checked, collect

#: Sets of parameters with a gradient that are remembered: the tasks of a model that train in turn, for example.
_PATTERNS = 64

# Through `map`, this is the cheapest read of an attribute of many tensors.
_gradient = attrgetter("grad")


@final
class Engine:
    """Steps the parameters of an optimizer; what it keeps between steps can be made again at any time.

    `off` is why the user wants no native steps; None: the environment decides.
    """

    def __init__(self, off: str | None = None) -> None:
        self._off = against_native(None) if off is None else off
        # Of the last step, if it was native on the CPU, and of earlier ones by the parameters that had a gradient.
        self._native: Native | None = None
        self._natives: dict[tuple[int, ...], Native] = {}
        self._parameters: list[Tensor] = []
        self._checked = Checked()
        self._devices: dict[torch.device, Any] = {}

    def forget(self) -> None:
        """Drop what was made from groups and state, but not what a replayed CUDA graph may use."""
        self._native = None
        self._natives.clear()
        self._parameters = []

    def leader(self, groups: Sequence[Group], gradients: Gradients = None) -> torch.device | None:
        """Return the CUDA device that has all parameters with a gradient; None where the host leads."""
        found: torch.device | None = None
        given = None if gradients is None else iter(gradients)
        for group in groups:
            for parameter in group.parameters:
                gradient = parameter.grad if given is None else next(given)
                if gradient is None:
                    continue
                if against_cuda(parameter, gradient, group.options, self._off):
                    return None
                if found and parameter.device != found:
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
        """Do the step on the device that leads, without waiting for it; missing state is made.

        Args:
            groups: the parameter groups; some parameter has a gradient.
            states: parameter -> slot name -> tensor.
            iterations: steps done before, on the device, which advances it.
            grad_scale: what the loss was multiplied by.
            found_inf: not zero to skip the step.
            gradients: of all parameters in the order of the groups; None: each parameter has its own.
        """
        items = collect(groups, states, gradients, self._checked)
        device = self._cuda(iterations.device)
        device.step(items, iterations, grad_scale, found_inf, begin=lambda: _keep(items, states))

    def _cuda(self, device: torch.device) -> Any:
        if device not in self._devices:
            self._devices[device] = cuda_module().Cuda()
        return self._devices[device]

    def step(
        self,
        groups: Sequence[Group],
        states: States,
        unscale: float | None,
        iterations: int,
        gradients: Gradients = None,
    ) -> bool:
        """Advance all parameters that have a gradient, and make missing state.

        Args:
            groups: the parameter groups.
            states: parameter -> slot name -> tensor.
            unscale: what each gradient is multiplied by before anything else.
            iterations: steps done before.
            gradients: of all parameters in the order of the groups; None: each parameter has its own.

        Returns:
            Whether there was any gradient.
        """
        unscales = unscale is not None
        held = self.look(groups, states, unscales, gradients)
        if held is None and self._recall(groups, gradients):
            held = self.look(groups, states, unscales, gradients)
        if held is None:
            return self._step(groups, states, unscale, iterations, gradients)
        self.run_again(groups, unscale, iterations)
        return True

    def look(
        self, groups: Sequence[Group], states: States, unscales: bool, gradients: Gradients = None
    ) -> Sequence[Tensor] | None:
        """Return the gradients if the step is like the last one, on the CPU; else None.

        `unscales` is whether gradients are multiplied by a number first; `step` explains the other arguments. The
        gradients must live until `run_again` has returned, and no code of the user's may run before it.
        """
        short = None if self._native is None else self._native.short
        return None if short is None else short.gradients(groups, states, unscales, gradients)

    def run_again(self, groups: Sequence[Group], unscale: float | None, iterations: int) -> None:
        """Do the step that `look` has found to be like the last one; `step` explains the arguments."""
        assert self._native is not None
        self._native.set_numbers(groups, unscale)
        self._native.run(iterations)

    def _recall(self, groups: Sequence[Group], gradients: Gradients) -> bool:
        """Go on from the last step of the parameters that have a gradient now, and return whether there was one."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        found = [*map(_gradient, parameters)] if gradients is None else gradients
        key = tuple(id(one) for one, gradient in zip(parameters, found, strict=True) if gradient is not None)
        native = self._natives.pop(key, None)
        if native is not None:
            self._natives[key] = self._native = native  # at the end, farthest from being dropped
        return native is not None

    def _step(
        self, groups: Sequence[Group], states: States, unscale: float | None, iterations: int, gradients: Gradients
    ) -> bool:
        if flushes():  # else what the host works out would be flushed
            with exact():
                return self._step(groups, states, unscale, iterations, gradients)
        self._native = None
        items = collect(groups, states, gradients, self._checked)
        if not items:
            return False
        here = [item for item in items if not against_cpu(item)]
        native, arrays = None, list[Any]()
        if here:
            native = self._prepare(here, groups, unscale is not None)
            arrays = native.locate(here)
            native.set_numbers(groups, unscale)
        if native is not None and len(here) == len(items):
            _keep(items, states)
            native.run(iterations)
            native.short = native.short_way(groups, items, states, unscale is not None)
            self._native = native
        else:
            self._run_mixed(native, items, states, unscale, iterations)
        del arrays  # they must live until here
        return True

    def _prepare(self, items: Sequence[Item], groups: Sequence[Group], unscales: bool) -> Native:
        key = _key(items)
        native = self._natives.pop(key, None)
        if native is not None and native.fits(items):
            native.set_options(items, groups, unscales)
        else:
            self._make_room(groups, is_moved=native is not None)
            native = Native(items, groups, unscales, self._off)
        self._natives[key] = native
        return native

    def _make_room(self, groups: Sequence[Group], is_moved: bool) -> None:
        """Drop what is known of other parameters than these, of memory that has moved, or of the oldest set."""
        parameters = [parameter for group in groups for parameter in group.parameters]
        same = len(parameters) == len(self._parameters) and all(map(is_, parameters, self._parameters))
        if is_moved or not same:
            # It would keep tensors alive that others have replaced.
            self._natives.clear()
            self._parameters = parameters
        elif len(self._natives) >= _PATTERNS:
            self._natives.pop(next(iter(self._natives)))

    def _run_mixed(
        self, native: Native | None, items: Sequence[Item], states: States, unscale: float | None, iterations: int
    ) -> None:
        """Step items on several devices; the host computes a norm that they share."""
        here, others, there = list[int](), list[int](), dict[torch.device, list[int]]()
        for place, item in enumerate(items):
            if not against_cpu(item):
                here.append(place)
            elif not against_cuda(item.variable, item.gradient, item.group.options, self._off):
                there.setdefault(item.variable.device, []).append(place)
            else:
                others.append(place)
        # A loss scale as `GradScaler` has it; in the default type it may be infinite.
        scaling = {
            device: None if unscale is None else torch.full((1,), 1 / unscale, dtype=torch.float32, device=device)
            for device in there
        }
        squares = None
        if any(item.group.options.clips_by_norm for item in items):
            squares = numpy.zeros(len(items))
            for place in others:
                if items[place].group.options.clips_by_norm:
                    squares[place] = traced.square_sum(items[place].gradient)
            if native is not None:
                squares[here] = native.square_sums()
            squares *= (unscale or 1.0) ** 2
            for device, places in there.items():
                found = self._cuda(device).square_sums([items[place] for place in places], scaling[device])
                squares[places] = found.tolist()
        scales = mixed.scales(items, squares, unscale or 1.0)
        _keep(items, states)
        if native is not None:
            native.run(iterations, scales[here])
        for device, places in there.items():
            sums = None if squares is None else torch.from_numpy(mixed.shares(items, squares, places)).to(device)
            count = torch.full((), iterations, dtype=torch.int64, device=device)
            self._cuda(device).step([items[place] for place in places], count, scaling[device], squares=sums)
        if others:
            is_scaled = squares is not None or unscale is not None or any(item.group.maximize for item in items)
            traced.step([items[place] for place in others], scales[others].tolist() if is_scaled else None)


def _key(items: Sequence[Item]) -> tuple[int, ...]:
    return tuple(id(item.variable) for item in items)


def _keep(items: Sequence[Item], states: States) -> None:
    """Put new slots into the state: when all of them are made, and nothing can be refused any more."""
    for item in items:
        state = states[item.variable]
        for name, slot in item.slots.items():
            if state.get(name) is not slot:
                state[name] = slot


def against_cpu(item: Item) -> str:
    """Return why a parameter is not stepped in the CPU's memory; "" if it is."""
    parameter = item.variable
    if parameter.device.type != "cpu":
        return "not on the CPU"
    return against_plain(parameter) or against_plain(item.gradient)
