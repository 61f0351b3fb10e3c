"""What the optimizer holds: parameter groups, state, the number of steps, and how they are saved and copied."""

import re
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral
from operator import is_
from typing import Any

import torch
from torch import Tensor

from rmsprop._options import LearningRate, check_learning_rate, rate_function
from rmsprop._torch.arguments import WAYS, check_options, check_rate, check_ways, choose_rate, number
from rmsprop._torch.checkpoint import adopt, check_loaded, keep
from rmsprop._torch.counter import Counter
from rmsprop._torch.groups import LiveGroup
from rmsprop.engines.torch.engine import Engine


class State(torch.optim.Optimizer):
    """What `rmsprop.torch.RMSprop` holds.

    Args:
        params: as torch takes them.
        rate: the learning rate, unchecked.
        defaults: what groups have that do not say otherwise.
        jit_compile: whether compiled kernels may do the step.
        name: of the optimizer.
    """

    def __init__(self, params: Any, rate: Any, defaults: dict[str, Any], jit_compile: bool, name: str) -> None:
        check_options(defaults, jit_compile, name)
        self._jit_compile = jit_compile
        self.name = name
        self._exclusion: tuple[list[Tensor], list[re.Pattern[str]]] = [], []
        self._engine = Engine()
        self._counter = Counter()
        self._entries: list[dict[str, Any]] = []
        self._live: list[LiveGroup] = []
        super().__init__(params, _rate_entries(check_rate(rate), 0) | defaults)

    def _renew(self) -> None:
        """Make anew what is made from groups and state."""
        self._engine.forget()
        self._entries = []
        # At once: from now on it is noticed when somebody writes over what a schedule has set.
        self._groups()

    def _groups(self) -> list[LiveGroup]:
        entries = self.param_groups
        if len(self._entries) != len(entries) or not all(map(is_, self._entries, entries)):
            self._entries = []  # forgotten first: a group that is refused stays unknown
            # By a weak reference: what is dropped goes at once, and all its state with it.
            excluded = partial(State._is_excluded, weakref.proxy(self))
            self._live = [LiveGroup(entry, place, self._jit_compile, excluded) for place, entry in enumerate(entries)]
            self._entries = [*entries]
        return self._live

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group's next step; what is assigned, a number or a schedule, goes to all.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned, or came from a function.
        """
        group = self.param_groups[0]
        schedule = group.get("schedule")
        return number(group["lr"]) if schedule is None else rate_function(schedule)(self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        checked = check_rate(value)
        for group in self.param_groups:
            if group.get("schedule") is not None and not callable(checked):
                raise TypeError(
                    f"learning_rate={value!r} cannot be set while the schedule {group['schedule']!r} rules: "
                    "assign another schedule, or construct the optimizer with a number"
                )
        for group in self.param_groups:
            group |= _rate_entries(checked, self.iterations)
        self._renew()

    @property
    def iterations(self) -> int:
        """How many steps are done; assign a whole number from 0 to 2**63 - 1 to go on from there.

        Every group holds it, so that a state dict does. Where a CUDA device leads and a `GradScaler` may skip steps, or
        a CUDA graph was captured, the groups are brought up to date by reading this, which waits for the device.

        Raises:
            ValueError: something else was assigned.
        """
        done: int = self.param_groups[0]["iterations"]
        if self._counter.is_ahead:
            done = self._counter.read()
            self._write_iterations(done)
        return done

    @iterations.setter
    def iterations(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**63:
            raise ValueError(f"iterations={value!r} is not a whole number from 0 to 2**63 - 1")
        self._write_iterations(int(value))
        self._counter.set(int(value))

    def _write_iterations(self, done: int) -> None:
        for group in self.param_groups:
            group["iterations"] = done

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
        group = dict(param_group)
        done = self.iterations if self.param_groups else 0
        # None is "not given", as in the constructor: the group has the optimizer's.
        names = group.pop("learning_rate", None), group.pop("lr", None)
        rate = None if all(one is None for one in names) else choose_rate(*names)
        if rate is not None:
            group = {"schedule": None} | group | _rate_entries(check_rate(rate), done)
        group["iterations"] = done
        whole = self.defaults | group
        check_ways(*(whole[word] for word in WAYS))
        jit_compile = group.get("jit_compile", self._jit_compile)
        if jit_compile != self._jit_compile:
            raise ValueError(f"jit_compile={jit_compile!r} in a parameter group: give it to the constructor, for all")
        check_options(whole)
        super().add_param_group(group)
        entry = self.param_groups[-1]
        if rate is None and done and entry.get("schedule") is not None:
            entry |= _rate_entries(entry["schedule"], done)
        self._groups()

    def exclude_from_weight_decay(
        self, var_list: Iterable[Tensor] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave parameters out of weight decay; a second call replaces the first.

        Args:
            var_list: parameters.
            var_names: regular expressions, searched in the names of parameters that came from `named_parameters()`.

        Raises:
            TypeError: `var_list` is one tensor, or `var_names` one string.
            ValueError: a step has been done, the parameters have no names, a name is not a regular expression, or a
                tensor is not among the parameters.
        """
        if self.state:
            raise ValueError("exclude_from_weight_decay comes before the first step")
        if isinstance(var_list, Tensor):
            raise TypeError("var_list is one tensor: pass a list of tensors, [w]")
        if isinstance(var_names, str):
            raise TypeError(f"var_names={var_names!r} is one string: pass a list, [{var_names!r}]")
        tensors, names = list(var_list or ()), list(var_names or ())
        if names and "param_names" not in self.param_groups[0]:
            raise ValueError(f"var_names={names!r}: the parameters have no names; construct with named_parameters()")
        try:
            patterns = [re.compile(name) for name in names]
        except re.error as error:
            raise ValueError(f"var_names={names!r} holds no regular expression: {error}") from error
        self._find(tensors, "var_list")
        self._exclusion = tensors, patterns
        self._renew()

    def _is_excluded(self, parameter: Tensor, name: str | None) -> bool:
        tensors, patterns = self._exclusion
        if any(parameter is one for one in tensors):
            return True
        return name is not None and any(pattern.search(name) for pattern in patterns)

    def _find(self, tensors: Iterable[Any], argument: str) -> None:
        mine = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        for tensor in tensors:
            if id(tensor) not in mine:
                shown = f"a tensor of shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else repr(tensor)
                raise ValueError(f"{argument} holds {shown}, which is not among the optimizer's parameters")

    def state_dict(self) -> dict[str, Any]:
        """Give the state as torch's optimizers do: per parameter the slots, per group its entries, the steps done too.

        A schedule is not in it: the constructor's rules again, at the steps done.
        """
        self.iterations  # noqa: B018 - brings the groups up to date
        found = super().state_dict()
        for group in found.get("param_groups", ()):
            if group.pop("schedule", None) is not None:
                group["lr"] = float(group["lr"])  # a tensor where a formula was computed on a device
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave: state, steps done, and the groups' options.

        The state is copied, to the parameters' devices and rounded to the types in which it is kept here. A learning
        rate that is ruled by a schedule stays so.

        Raises:
            ValueError: the groups have other numbers of parameters, the state dict is of another optimizer, or it has
                other slots than the options here need; the error lists the differences. Nothing has changed then.
        """
        hook = self.register_load_state_dict_pre_hook(_Loading())
        schedules = [group.get("schedule") for group in self.param_groups]
        try:
            super().load_state_dict(state_dict)
        finally:
            hook.remove()
        for group, schedule in zip(self.param_groups, schedules, strict=True):
            if schedule is not None:
                group["schedule"] = schedule
        self._renew()

    def __getstate__(self) -> dict[str, Any]:
        self.iterations  # noqa: B018 - brings the groups up to date
        mine = {"_exclusion": self._exclusion, "_jit_compile": self._jit_compile, "name": self.name}
        return super().__getstate__() | mine

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Comes from load_state_dict too, with tensors that are hidden in `Kept` then.
        adopt(state["state"], state["param_groups"])
        super().__setstate__(state)
        if "_engine" not in self.__dict__:
            self._engine, self._counter = Engine(), Counter()
        # In place, where graphs that were captured find it.
        self._counter.set(self.param_groups[0]["iterations"])
        self._renew()


class _Loading:
    """Checks a state dict, after the user's own hooks have changed it, before torch takes it."""

    def __call__(self, optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any] | None:
        if missing := {"state", "param_groups"} - set(state_dict):
            raise ValueError(f"a state dict has {' and '.join(sorted(missing))}, which this one lacks")
        sizes, others = (
            [len(group["params"]) for group in one] for one in (optimizer.param_groups, state_dict["param_groups"])
        )
        if sizes != others:
            return None  # which torch refuses
        check_loaded(optimizer.param_groups, state_dict)
        return {**state_dict, "state": keep(state_dict["state"])}


def _rate_entries(rate: Any, iterations: int) -> dict[str, Any]:
    """Give a group's entries for a learning rate that was checked: a number or tensor, or a schedule and its value."""
    if not callable(rate) or isinstance(rate, Tensor):
        return {"lr": rate}
    schedule: Callable[..., Any] = check_learning_rate(rate)  # type: ignore[assignment]
    return {"lr": rate_function(schedule)(iterations), "schedule": schedule}
