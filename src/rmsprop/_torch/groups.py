"""A parameter group at each step: its entries are the user's to change; what changed is checked before it is used."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeGuard

import numpy
from torch import Tensor

from rmsprop._core.options import Options, check_learning_rate, rate_function
from rmsprop._core.saving.matching import plain_names
from rmsprop._torch.arguments import DEFAULTS, check_options, make_plain, number, values_of
from rmsprop._torch.exclusion import Exclusion
from rmsprop.schedules._base import Formula

#: In place of the rate that was written: whatever is there is right.
_ANY: Final = object()


class LiveGroup:
    """What a step reads of one entry of `param_groups`.

    Args:
        entry: the user's dictionary; entries that it lacks are put into it.
        number: its place among the groups.
        common: what is common to all groups.
        schedule: what rules its learning rate, if not ``"lr"``; it is no entry, as others copy and save those.

    Attributes:
        entry: as given.
        schedule: as given, or what the user has assigned to ``"lr"`` since.
        options: the checked arguments, the same object until one changes.
        maximize: whether to go up.
        rate: the learning rate of this step, a number, or a tensor that is on another device than the CPU.
        overwrite: whether this step replaces the parameters by their averages.
    """

    def __init__(self, entry: dict[str, Any], number: int, common: "Common", schedule: Any = None) -> None:
        self.entry = entry
        self.schedule = schedule
        self._number = number
        self._common = common
        self._function: Callable[[int], float] | None = None if schedule is None else rate_function(schedule)
        self.options: Options
        self.maximize: bool
        self._values: tuple[Any, ...] | None
        self._read_options()
        # A schedule's last value, or a number that is checked already. What is there at first is right.
        self._written: Any = None if schedule is None else entry["lr"]
        self.rate: float | Tensor = 0.0
        self.overwrite = False

    def complete(self) -> None:
        """Put into the entry what it lacks, and Python's own numbers."""
        if not self.entry.keys() >= self._common.defaults.keys():
            for name, value in self._common.defaults.items():
                self.entry.setdefault(name, value)
        make_plain(self.entry)

    def _read_options(self) -> None:
        entry = self.entry
        self.complete()
        options = check_options(entry, self._common.jit_compile)
        if "learning_rate" in entry and not self._common.is_wrapped:
            raise TypeError(
                f"param_groups[{self._number}]['learning_rate']={entry['learning_rate']!r}: a group's learning rate is "
                "its entry 'lr'"
            )
        # Forgotten first: an interrupt on the way must not leave options that nobody compares any more.
        self._values = None
        self.options, self.maximize = options, entry["maximize"]
        self._values, self._length = values_of(entry), len(entry)

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors."""
        found: list[Tensor] = self.entry["params"]
        return found

    def decays(self, place: int) -> bool:
        """Whether weight decay applies to one of the parameters."""
        return self.options.decays and not self._common.exclusion.covers(self.parameters[place], self.name(place))

    def describe(self, place: int) -> str:
        """Name a parameter, for error texts."""
        name = self.name(place)
        return f"parameter {place} of group {self._number}" if name is None else f"parameter {name!r}"

    def name(self, place: int) -> str | None:
        """Give a parameter's name, None if it has none."""
        names = self.entry.get("param_names")
        return names[place] if names is not None and place < len(names) else None

    def set_rate(self, rate: Any, iterations: int) -> None:
        """Take a learning rate that was checked: a number or tensor, or a schedule or function, which rules then."""
        schedule = rate if is_schedule(rate) else None
        function = None if schedule is None else rate_function(schedule)
        value = rate if function is None else function(iterations)
        self._written = _ANY
        self.schedule, self._function = schedule, function
        self.entry["lr"] = value
        self._written = value if schedule is not None else None

    def settle(self, iterations: int) -> None:
        """Let a schedule or function that was assigned to ``"lr"`` rule, so that the entry is a number again."""
        if is_schedule(self.entry["lr"]):
            self.set_rate(check_learning_rate(self.entry["lr"]), iterations)

    def update(self) -> None:
        """Take over the options that the entry has now.

        Raises:
            TypeError: something is of the wrong type.
            ValueError: a number is out of its range.
        """
        # An entry that came or went is a word of another library, perhaps, or one that is needed.
        try:
            changed = len(self.entry) != self._length or values_of(self.entry) != self._values
        except KeyError:
            changed = True
        if changed:
            self._read_options()

    def read(self, iterations: int | Callable[[], int], counter: Tensor | None = None) -> None:
        """Take over what the entry says now.

        Args:
            iterations: steps done; where a device leads, a function that gives them and may have to wait for it.
            counter: where a device leads, the steps done, there; on which formulas are computed, and overwriting
                is decided there too.

        Raises:
            TypeError: something is of the wrong type, or a number was set as `lr` over a schedule.
            ValueError: a number is out of its range.
        """
        self.update()
        self.read_rate(iterations, counter)

    def read_rate(self, iterations: int | Callable[[], int], counter: Tensor | None = None) -> None:
        """Take over the learning rate that the entry says now; as `read`, for options that are read already."""
        self.overwrite = isinstance(iterations, int) and self.options.overwrites(iterations)
        rate = self.entry["lr"]
        if rate is self._written and type(rate) is float and self.schedule is None:
            self.rate = rate
        else:
            self._read_rate(rate, iterations, counter)

    def _read_rate(self, rate: Any, iterations: int | Callable[[], int], counter: Tensor | None) -> None:
        if is_schedule(rate):
            self.schedule = check_learning_rate(rate)
            self._function = rate_function(self.schedule)
            self._written = rate
        schedule = self.schedule
        if schedule is None:
            on_device = isinstance(rate, Tensor) and rate.device.type != "cpu"
            if counter is not None and isinstance(rate, Tensor):
                on_device = rate.device == counter.device
            self.rate = rate if on_device else number(rate)
            if isinstance(rate, numpy.generic):
                make_plain(self.entry)
            self._written = self.rate if type(rate) is float else None
            return
        if rate is not self._written and self._written is not _ANY and rate != self._written:
            if rate != 0:
                raise TypeError(
                    f"param_groups[{self._number}]['lr']={rate!r} cannot be set while the schedule {schedule!r} rules: "
                    "assign another schedule, or construct the optimizer with a number"
                )
            # A step that must not move anything: torch.distributed.checkpoint lets state be made by one.
            self.rate = 0.0
            return
        assert self._function is not None
        if counter is not None and isinstance(schedule, Formula):
            new = schedule(counter.double())
        else:
            new = self._function(iterations if isinstance(iterations, int) else iterations())
        self.rate = self._written = self.entry["lr"] = new


class Common:
    """What is common to the groups of an optimizer, and knows nothing of it, so that it is freed with its last user.

    Args:
        defaults: entries of groups that do not have them.
        jit_compile: whether compiled kernels may do the step.

    Attributes:
        defaults: those, and what an optimizer of an earlier version did not know.
        jit_compile: as given.
        exclusion: which parameters weight decay leaves alone.
        is_wrapped: whether somebody who has groups of its own, as `ZeroRedundancyOptimizer`, copies all of the
            constructor's words into the groups here.
    """

    def __init__(self, defaults: Mapping[str, Any], jit_compile: bool) -> None:
        self.defaults = {**DEFAULTS, **defaults}
        self.jit_compile = jit_compile
        self.exclusion = Exclusion()
        self.is_wrapped = False


def names_of(groups: Sequence[LiveGroup]) -> list[str]:
    """Give the names of all parameters; numbers over all groups, if some have none."""
    return plain_names([group.name(place) or "" for group in groups for place in range(len(group.parameters))])


def is_schedule(rate: Any) -> TypeGuard[Callable[..., Any]]:
    """Whether a learning rate is computed anew at each step."""
    return callable(rate) and not isinstance(rate, Tensor)


def schedules_of(groups: Sequence[Mapping[str, Any]], known: Sequence[LiveGroup]) -> list[Any]:
    """Find what rules the learning rates of groups that others may have replaced, removed or put in another order.

    A group goes on with the schedule of the one that it is; of one with a parameter in common; or, where there are as
    many groups as before, of the one that was in its place and is there no more. Else its ``"lr"`` rules.
    """
    by_identity = {id(one.entry): one for one in known}
    by_parameter = {id(parameter): one for one in known for parameter in one.parameters}
    present = {id(group) for group in groups}
    found = []
    for place, group in enumerate(groups):
        one = by_identity.get(id(group))
        shared = (by_parameter[id(parameter)] for parameter in group["params"] if id(parameter) in by_parameter)
        if one is None:
            one = next(shared, None)
        if one is None and len(groups) == len(known) and id(known[place].entry) not in present:
            one = known[place]
        found.append(None if one is None else one.schedule)
    return found
