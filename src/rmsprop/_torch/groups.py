"""The parameter groups of an optimizer. `param_groups` is the user's list, and its entries may be replaced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_
from typing import Any, final

from torch import Tensor

from rmsprop._core.rates import check_learning_rate, rate_function
from rmsprop._core.saving.matching import plain_names
from rmsprop._core.switches import check_native
from rmsprop._torch.arguments import (
    TORCH_WORDS,
    check_options,
    check_rate,
    check_torch_words,
    choose_rate,
    make_plain,
)  # fmt: skip
from rmsprop._torch.exclusion import from_user
from rmsprop._torch.live_group import Common, LiveGroup, is_schedule

Entry = dict[str, Any]


@final
class Groups:
    """A `LiveGroup` for each entry of `param_groups`.

    `rate` is the constructor's learning rate as given, `schedule` that of groups that come without a learning rate.
    """

    def __init__(self, common: Common, rate: Any, schedule: Any) -> None:
        self.common, self.schedule, self._rate = common, schedule, rate
        self._entries: list[Entry] = []
        self._live: list[LiveGroup] = []

    def settings(self) -> dict[str, Any]:
        """Return what is not at its default and not in the entries of the groups."""
        jit_compile, native = self.common.jit_compile, self.common.native
        found = {"learning_rate": self.schedule, "jit_compile": None if jit_compile else False, "native": native}
        return {word: value for word, value in found.items() if value is not None}

    def of(self, entries: list[Entry]) -> list[LiveGroup]:
        """Return the groups of these entries."""
        if len(self._entries) != len(entries) or not all(map(is_, self._entries, entries)):
            self.start(entries, _schedules_of(entries, self._live))
        return self._live

    def settled(self, entries: list[Entry], iterations: Callable[[], int]) -> list[LiveGroup]:
        """Return the groups, with complete entries and a number where the user assigned a schedule to "lr"."""
        groups = self.of(entries)
        for group in groups:
            group.complete()
            if is_schedule(group.entry["lr"]):
                group.set_rate(check_learning_rate(group.entry["lr"]), iterations())
        return groups

    def start(self, entries: list[Entry], schedules: Sequence[Any]) -> None:
        """Begin with these entries and the schedules of their learning rates."""
        self._entries = []
        self._live = [
            LiveGroup(entry, place, self.common, schedule)
            for place, (entry, schedule) in enumerate(zip(entries, schedules, strict=True))
        ]
        self._entries = [*entries]

    def renew(self, entries: list[Entry]) -> None:
        """Read entries anew; their learning rates are right, and from now on a rate that replaces one is noticed."""
        self._entries = []
        self.of(entries)

    def set_rate(self, value: Any, iterations: Callable[[], int]) -> None:
        """Set the learning rate of all groups, which are settled: to a number, a tensor, a schedule or a function."""
        checked = check_rate(value)
        for group in self._live:
            if group.schedule is not None and not is_schedule(checked):
                raise TypeError(
                    f"learning_rate={value!r} cannot be set while the schedule {group.schedule!r} rules: "
                    "assign another schedule, or construct the optimizer with a number"
                )
        for group in self._live:
            group.set_rate(checked, iterations())

    def prepare(self, entries: list[Entry], given: Mapping[str, Any], done: int) -> tuple[Entry, Any]:
        """Return the entry of a new group, checked, and the schedule of its learning rate; `done` steps are done."""
        self.of(entries)
        group = {**given, "iterations": done}
        # None is "not given", as in the constructor: the group has the optimizer's.
        learning_rate, lr = group.pop("learning_rate", None), group.pop("lr", None)
        if learning_rate is not None and learning_rate is self._rate:
            # Not the user's: from a wrapper that copies all of the constructor's arguments into groups.
            self.common.is_wrapped = True
            learning_rate, lr = (learning_rate, None) if lr is None else (None, lr)
        rate = None if learning_rate is None and lr is None else check_rate(choose_rate(learning_rate, lr))
        schedule = self.schedule if rate is None else rate if is_schedule(rate) else None
        if schedule is not None and (rate is not None or done):
            group["lr"] = rate_function(schedule)(done)
        elif rate is not None:
            group["lr"] = rate
        if group.get("fused") is None:
            group.pop("fused", None)
        make_plain(group)
        whole = self.common.defaults | group
        check_torch_words(*(whole[word] for word in TORCH_WORDS))
        self._check_common(group)
        check_options(whole)
        self.common.exclusion.follow(entries)
        return group, schedule

    def add(self, entries: list[Entry], schedule: Any) -> None:
        """Add the last of the entries, which `of` has not seen yet."""
        self._live = [*self._live, LiveGroup(entries[-1], len(entries) - 1, self.common, schedule)]
        self._entries = [*entries]
        self.common.exclusion.add(entries[-1])

    def exclude(
        self,
        entries: list[Entry],
        var_list: Iterable[Tensor] | None,
        var_names: Iterable[str] | None,
        is_stepped: bool,
    ) -> None:
        """Leave parameters out of weight decay; `is_stepped` is whether a step has been done."""
        if is_stepped and not self.common.exclusion.falls_back(entries):
            raise ValueError("exclude_from_weight_decay comes before the first step")
        self.common.exclusion = from_user(entries, var_list, var_names)

    def _check_common(self, group: Mapping[str, Any]) -> None:
        """Refuse a group with a value of its own for what is common to all groups."""
        common = self.common
        for word, value in (("jit_compile", common.jit_compile), ("fused", common.defaults["fused"])):
            if bool(group.get(word, value)) != bool(value):
                raise ValueError(_for_all(word, group))
        if group.get("native", common.native) is not common.native:
            raise ValueError(_for_all("native", group))


def _for_all(word: str, group: Mapping[str, Any]) -> str:
    return f"{word}={group[word]!r} in a parameter group: give it to the constructor, for all"


def made(rate: Any, defaults: dict[str, Any], jit_compile: Any, native: Any, name: Any) -> Groups:
    """Return the groups of an optimizer, none yet, after checks of the constructor's arguments."""
    make_plain(defaults)
    check_options(defaults, jit_compile, name)
    native, checked = check_native(native), check_rate(rate)
    schedule = checked if is_schedule(checked) else None
    first = checked if schedule is None else rate_function(schedule)(0)
    return Groups(Common({**defaults, "lr": first}, bool(jit_compile), native), rate, schedule)


def names_of(groups: Sequence[LiveGroup]) -> list[str]:
    """Return the names of all parameters; numbers over all groups if a parameter has none."""
    return plain_names([group.name(place) or "" for group in groups for place in range(len(group.parameters))])


def _schedules_of(entries: Sequence[Entry], known: Sequence[LiveGroup]) -> list[Any]:
    """Return the schedules of the learning rates of entries that may be new, or in another order.

    An entry has the schedule of the group that it is; else of a group with a parameter in common; else, where there are
    as many groups as before, of the group in its place that is gone. Otherwise its ``"lr"`` is the rate.
    """
    by_identity = {id(one.entry): one for one in known}
    by_parameter = {id(parameter): one for one in known for parameter in one.parameters}
    present = {id(entry) for entry in entries}
    found = []
    for place, entry in enumerate(entries):
        shared = (by_parameter[id(parameter)] for parameter in entry["params"] if id(parameter) in by_parameter)
        one = by_identity.get(id(entry)) or next(shared, None)
        if one is None and len(entries) == len(known) and id(known[place].entry) not in present:
            one = known[place]
        found.append(None if one is None else one.schedule)
    return found
