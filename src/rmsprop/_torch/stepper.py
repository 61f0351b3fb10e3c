"""One step of an optimizer: what users have changed since the last one is read, then a device or the host leads."""

from collections.abc import MutableMapping
from typing import Any, final

import torch
from torch import Tensor

from rmsprop._torch.counter import Counter, Entries
from rmsprop._torch.engine import Engine
from rmsprop._torch.first_step import make_state, only_makes_state
from rmsprop._torch.groups import Groups
from rmsprop._torch.live_group import LiveGroup

States = MutableMapping[Tensor, dict[str, Any]]


@final
class Stepper:
    """Does the steps of an optimizer and counts them.

    Its methods are given `param_groups` and `state` at each call, as other libraries replace both.

    Attributes:
        only_has_state: whether there is state although no step was done.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._engine, self._counter = Engine(groups.common.off), Counter()
        self.only_has_state = False

    def step(
        self, entries: Entries, states: States, scale: Tensor | None, found_inf: Tensor | None, may_make_state: bool
    ) -> None:
        """Do a step; `may_make_state` is whether the first may be that of `rmsprop._torch.first_step`.

        The loss was multiplied by `scale`; `found_inf` is not zero to skip the step.
        """
        exclusion = self._groups.common.exclusion
        if not self._counter.is_current(entries):
            self._adopt(entries)
        if exclusion.is_on:
            exclusion.follow(entries)
            if exclusion.has_other_names(entries):
                self._engine.forget()
        groups = self._groups.of(entries)
        if may_make_state and not self.only_has_state and not states and only_makes_state(groups):
            self.only_has_state = True
            make_state(groups, states)
        elif not self.only_has_state:
            self._advance(entries, groups, states, scale, found_inf)
        else:
            self.start_averages(states)
            self.only_has_state = False
            try:
                self.only_has_state = not self._advance(entries, groups, states, scale, found_inf)
            except (TypeError, ValueError):  # refused, before anything was written
                self.only_has_state = True
                raise

    @torch.no_grad()
    def start_averages(self, states: States) -> None:
        """Start averages at the parameters as they are now, if there is state although no step was done."""
        for parameter, state in states.items() if self.only_has_state else ():
            if "average" in state:
                state["average"].copy_(parameter)

    def _advance(
        self, entries: Entries, groups: list[LiveGroup], states: States, scale: Tensor | None, found_inf: Tensor | None
    ) -> bool:
        """Do a step, and return whether there was one, as far as the host knows."""
        engine, counter, held = self._engine, self._counter, None
        for group in groups:
            if group.schedule is not None:
                break  # a function of the user's, which may do anything between a look and the step
            group.update()
        else:
            held = engine.look(groups, states, scale is not None)
        if held is None:
            device = engine.leader(groups)
            if device is not None:
                count = counter.on(device, entries)
                with torch.no_grad():
                    for group in groups:
                        group.read(lambda: self.iterations(entries), count)
                with counter.stepping(device, entries, may_skip=found_inf is not None):
                    engine.step_on_device(groups, states, count, scale, found_inf)
                return True
        if found_inf is not None and bool(found_inf):
            return False
        done = counter.read(entries)
        unscale = None if scale is None else 1 / float(scale)
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
