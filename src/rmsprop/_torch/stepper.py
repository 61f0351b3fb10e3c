"""One step of an optimizer: what users have changed since the last one is read, then a device or the host leads."""

from collections.abc import MutableMapping
from typing import Any, final

import torch
from torch import Tensor

from rmsprop._torch import first_step
from rmsprop._torch.counter import Counter
from rmsprop._torch.engine import Engine
from rmsprop._torch.groups import Groups
from rmsprop._torch.live_group import LiveGroup

Entries = list[dict[str, Any]]
States = MutableMapping[Tensor, dict[str, Any]]


@final
class Stepper:
    """Does the steps of an optimizer and counts them.

    Its methods are given `param_groups` and `state` at each call, as other libraries replace both.

    Args:
        groups: the optimizer's.

    Attributes:
        only_has_state: whether there is state although no step was done.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._engine, self._counter = Engine(groups.common.off), Counter()
        self.only_has_state = False

    def step(
        self,
        entries: Entries,
        states: States,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
        may_make_state: bool,
    ) -> None:
        """Do a step.

        Args:
            entries: `param_groups`.
            states: parameter -> slot name -> tensor.
            grad_scale: what the loss was multiplied by.
            found_inf: not zero to skip the step.
            may_make_state: whether the first step may be that of `rmsprop._torch.first_step`.
        """
        counter, exclusion = self._counter, self._groups.common.exclusion
        if not counter.is_current(entries):
            self._adopt(entries)
        if exclusion.is_on:
            exclusion.follow(entries)
            if exclusion.has_other_names(entries):
                self._engine.forget()
        groups = self._groups.of(entries)
        if self.only_has_state:
            self._first_step(entries, groups, states, grad_scale, found_inf)
        elif may_make_state and not states and first_step.only_makes_state(groups):
            self.only_has_state = True
            first_step.make_state(groups, states)
        else:
            self._advance(entries, groups, states, grad_scale, found_inf)

    def _first_step(
        self,
        entries: Entries,
        groups: list[LiveGroup],
        states: States,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """Do a step where state was made before it."""
        self.start_averages(states)
        self.only_has_state = False
        try:
            self.only_has_state = not self._advance(entries, groups, states, grad_scale, found_inf)
        except (TypeError, ValueError):  # refused, before anything was written
            self.only_has_state = True
            raise

    def start_averages(self, states: States) -> None:
        """Start averages at the parameters as they are now, if there is state although no step was done."""
        if self.only_has_state:
            with torch.no_grad():
                for parameter, state in states.items():
                    if "average" in state:
                        state["average"].copy_(parameter)

    def _advance(
        self,
        entries: Entries,
        groups: list[LiveGroup],
        states: States,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
    ) -> bool:
        """Do a step, and return whether there was one, as far as the host knows."""
        engine, counter, held = self._engine, self._counter, None
        for group in groups:
            if group.schedule is not None:
                break  # a function of the user's, which may do anything between a look and the step
            group.update()
        else:
            held = engine.look(groups, states, grad_scale is not None)
        if held is None:
            device = engine.leader(groups)
            if device is not None:
                self._step_on(device, entries, groups, states, grad_scale, found_inf)
                return True
        if found_inf is not None and bool(found_inf):
            return False
        done = counter.read(entries)
        unscale = None if grad_scale is None else 1 / float(grad_scale)
        if held is not None:
            for group in groups:
                group.read_rate(done)
            engine.run_again(groups, unscale, done)
        else:
            for group in groups:
                group.read(done)
            if not engine.step(groups, states, unscale, done):
                return False
        counter.set(entries, done + 1)
        return True

    def _step_on(
        self,
        device: torch.device,
        entries: Entries,
        groups: list[LiveGroup],
        states: States,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """Do a step on a device, which decides whether it is skipped; the host does not wait for it."""
        counter = self._counter
        count = counter.on(device, entries)
        with torch.no_grad():
            for group in groups:
                group.read(lambda: self.iterations(entries), count)
        is_known = not counter.is_ahead
        counter.is_ahead = True  # until the step has come to its end here: after an interrupt the number is read
        self._engine.step_on_device(groups, states, count, grad_scale, found_inf)
        is_captured = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if found_inf is not None or is_captured:
            counter.lose(is_captured)
        elif is_known:
            counter.write(entries, entries[0]["iterations"] + 1)
            counter.is_ahead = False

    def iterations(self, entries: Entries) -> int:
        """Return the steps done, after waiting for a device that leads and may have skipped one."""
        if not self._counter.is_current(entries):
            self._adopt(entries)
        return self._counter.read(entries)

    def count(self, entries: Entries, done: int) -> None:
        """Set the steps done."""
        self._counter.set(entries, done)

    def _adopt(self, entries: Entries) -> None:
        """Go on from steps and learning rates that a user has written into the groups, without `load_state_dict`."""
        self._counter.adopt(entries)
        self.renew(entries)

    def restart(self, entries: Entries, done: int) -> None:
        """Go on after other state and groups were loaded."""
        self._counter.set(entries, done)
        self.renew(entries)

    def renew(self, entries: Entries) -> None:
        """Forget what was made from groups and state; learning rates in the groups are right."""
        self._engine.forget()
        self._groups.renew(entries)
