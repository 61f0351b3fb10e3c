"""What the optimizer holds: parameter groups, learning rates, the number of steps."""

from collections.abc import Mapping
from numbers import Integral
from operator import is_
from typing import Any

import torch

from rmsprop._core.options import LearningRate, rate_function
from rmsprop._torch.arguments import (
    WAYS,
    check_attribute,
    check_options,
    check_rate,
    check_ways,
    choose_rate,
    make_plain,
    number,
)  # fmt: skip
from rmsprop._torch.counter import Counter
from rmsprop._torch.engine import Engine
from rmsprop._torch.groups import Common, LiveGroup, is_schedule, schedules_of
from rmsprop._torch.params import check_params


class Held(torch.optim.Optimizer):
    """What `rmsprop.torch.RMSprop` holds, without the ways in which it is saved.

    Args:
        params: as torch takes them.
        rate: the learning rate, unchecked.
        defaults: what groups have that do not say otherwise.
        jit_compile: whether compiled kernels may do the step.
        name: of the optimizer.
    """

    def __init__(self, params: Any, rate: Any, defaults: dict[str, Any], jit_compile: bool, name: str) -> None:
        check_params(params)
        make_plain(defaults)
        check_options(defaults, jit_compile, name)
        checked = check_rate(rate)
        defaults = {"lr": rate_function(checked)(0) if is_schedule(checked) else checked} | defaults
        self.name = name
        self._common = Common(defaults, bool(jit_compile))
        self._engine = Engine()
        self._counter = Counter()
        self._entries: list[dict[str, Any]] = []
        self._live: list[LiveGroup] = []
        # As given, and what rules the rate of groups that come without one.
        self._rate, self._schedule = rate, checked if is_schedule(checked) else None
        # Whether there is state although no step was done.
        self._only_has_state = False
        super().__init__(params, defaults)

    def __setattr__(self, name: str, value: Any) -> None:
        # Properties are assignable, and what other libraries set is theirs.
        if not hasattr(type(self), name):
            check_attribute(name, value)
        super().__setattr__(name, value)

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether `GradScaler` leaves the gradients scaled and tells the scale, as torch calls it."""
        return all(group.get("fused") for group in self.param_groups)

    @_step_supports_amp_scaling.setter
    def _step_supports_amp_scaling(self, value: bool) -> None:
        for group in self.param_groups:
            group["fused"] = bool(value)

    def _renew(self) -> None:
        """Make anew what is made from groups and state; learning rates that are there are right."""
        self._engine.forget()
        self._entries = []
        # At once: from now on it is noticed when somebody writes over what a schedule has set.
        self._groups()

    def _groups(self) -> list[LiveGroup]:
        entries = self.param_groups
        if len(self._entries) != len(entries) or not all(map(is_, self._entries, entries)):
            self._entries = []
            schedules = schedules_of(entries, self._live)
            self._live = [
                LiveGroup(entry, place, self._common, schedule)
                for place, (entry, schedule) in enumerate(zip(entries, schedules, strict=True))
            ]
            self._entries = [*entries]
        return self._live

    def _settled_groups(self) -> list[LiveGroup]:
        groups = self._groups()
        for group in groups:
            group.complete()
            if is_schedule(group.entry["lr"]):
                group.settle(self.iterations)
        return groups

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group's next step; what is assigned, a number or a schedule, goes to all.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned, or came from a function.
        """
        group = self._settled_groups()[0]
        if group.schedule is None:
            return number(group.entry["lr"])
        return rate_function(group.schedule)(self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        checked = check_rate(value)
        groups = self._settled_groups()
        for group in groups:
            if group.schedule is not None and not is_schedule(checked):
                raise TypeError(
                    f"learning_rate={value!r} cannot be set while the schedule {group.schedule!r} rules: "
                    "assign another schedule, or construct the optimizer with a number"
                )
        for group in groups:
            group.set_rate(checked, self.iterations)

    @property
    def iterations(self) -> int:
        """How many steps are done; assign a whole number from 0 to 2**63 - 1 to go on from there.

        Every group holds it, so that a state dict does. Where a CUDA device leads and a `GradScaler` may skip steps, or
        a CUDA graph was captured, the groups are brought up to date by reading this, which waits for the device.

        Raises:
            ValueError: something else was assigned.
        """
        done = self.param_groups[0].get("iterations")
        if done is None or done != self._counter.told:
            self._take_over()
        if self._counter.is_ahead:
            self._write_iterations(self._counter.read())
        found: int = self.param_groups[0]["iterations"]
        return found

    @iterations.setter
    def iterations(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**63:
            raise ValueError(f"iterations={value!r} is not a whole number from 0 to 2**63 - 1")
        self._count(int(value))

    def _count(self, done: int) -> None:
        """Tell the number of steps to the device and to the groups."""
        self._counter.told = None
        self._counter.set(done)
        self._write_iterations(done)

    def _write_iterations(self, done: int) -> None:
        self._counter.told = None
        for group in self.param_groups:
            group["iterations"] = done
        self._counter.told = done

    def _take_over(self) -> None:
        """Go on from the steps and learning rates that somebody has written into the groups, past `load_state_dict`."""
        found = self.param_groups[0].get("iterations")
        self.iterations = (self._counter.told or 0) if found is None else found
        self._renew()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group.

        Args:
            param_group: ``"params"`` and any of the constructor's arguments that shall differ in this group, with
                ``"lr"`` or ``"learning_rate"``; entries of your own are kept.

        Raises:
            TypeError: an argument is of the wrong type, or a word of another library.
            ValueError: a number is out of its range, or a parameter is in a group already. Nothing has changed then.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group={param_group!r} is not a dictionary")
        check_params(param_group.get("params"))
        group = dict(param_group)
        done, groups = (self.iterations, self._groups()) if self.param_groups else (0, [])
        # None is "not given", as in the constructor: the group has the optimizer's.
        names = group.pop("learning_rate", None), group.pop("lr", None)
        if names[0] is not None and names[0] is self._rate:
            # Not the user's: handed on by somebody who copies all of the constructor's words into groups.
            self._common.is_wrapped = True
            names = (names[0], None) if names[1] is None else (None, names[1])
        given = None if all(one is None for one in names) else check_rate(choose_rate(*names))
        schedule = self._schedule if given is None else given if is_schedule(given) else None
        group["iterations"] = done
        if schedule is not None and (given is not None or done):
            group["lr"] = rate_function(schedule)(done)
        elif given is not None:
            group["lr"] = given
        if group.get("fused") is None:
            group.pop("fused", None)
        make_plain(group)
        whole = self.defaults | group
        check_ways(*(whole[word] for word in WAYS))
        self._check_common(group)
        check_options(whole)
        exclusion = self._common.exclusion
        exclusion.follow(self.param_groups)
        super().add_param_group(group)
        entry = self.param_groups[-1]
        self._live = [*groups, LiveGroup(entry, len(groups), self._common, schedule)]
        self._entries = [*self.param_groups]
        self._counter.told = done
        exclusion.add(entry)

    def _check_common(self, group: Mapping[str, Any]) -> None:
        """Check that a group does not want for itself what all have in common."""
        for word, common in (("jit_compile", self._common.jit_compile), ("fused", self.defaults["fused"])):
            if bool(group.get(word, common)) != bool(common):
                raise ValueError(f"{word}={group[word]!r} in a parameter group: give it to the constructor, for all")
