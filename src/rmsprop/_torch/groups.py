"""A parameter group at each step: its entries are the user's to change; what changed is checked before it is used."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from rmsprop._options import Options, check_learning_rate, rate_function
from rmsprop._torch.arguments import check_options, number, values_of
from rmsprop.schedules._base import Formula


class LiveGroup:
    """What a step reads of one entry of `param_groups`.

    Args:
        entry: the user's dictionary.
        number: its place among the groups.
        jit_compile: whether compiled kernels may do the step.
        excluded: whether weight decay leaves a parameter alone, from the tensor and its name if it has one.

    Attributes:
        entry: as given.
        options: the checked arguments, the same object until one changes.
        maximize: whether to go up.
        rate: the learning rate of this step, a number, or a tensor that is on another device than the CPU.
        overwrite: whether this step replaces the parameters by their averages.
    """

    def __init__(
        self, entry: dict[str, Any], number: int, jit_compile: bool, excluded: Callable[[Tensor, str | None], bool]
    ) -> None:
        self.entry = entry
        self._number = number
        self._jit_compile = jit_compile
        self._excluded = excluded
        self.options: Options = check_options(entry, jit_compile)
        self._values: tuple[Any, ...] | None = values_of(entry)
        self.maximize: bool = entry["maximize"]
        self._schedule: Any = None
        self._function: Callable[[int], float] | None = None
        # A schedule's last value, or a number that is checked already.
        self._written: Any = None if entry.get("schedule") is None else entry["lr"]
        self.rate: float | Tensor = 0.0
        self.overwrite = False

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors."""
        found: list[Tensor] = self.entry["params"]
        return found

    def decays(self, place: int) -> bool:
        """Whether weight decay applies to one of the parameters."""
        return self.options.decays and not self._excluded(self.parameters[place], self._name(place))

    def describe(self, place: int) -> str:
        """Name a parameter, for error texts."""
        name = self._name(place)
        return f"parameter {place} of group {self._number}" if name is None else f"parameter {name!r}"

    def _name(self, place: int) -> str | None:
        names = self.entry.get("param_names")
        return names[place] if names is not None and place < len(names) else None

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
        entry = self.entry
        try:
            changed = values_of(entry) != self._values
        except KeyError:
            changed = True
        if changed:
            # Forgotten first: an interrupt on the way must not leave options that nobody compares any more.
            self._values = None
            self.options, self.maximize = check_options(entry, self._jit_compile), entry["maximize"]
            self._values = values_of(entry)
        self.overwrite = isinstance(iterations, int) and self.options.overwrites(iterations)
        rate = entry["lr"]
        if rate is self._written and type(rate) is float and self._schedule is None and not entry.get("schedule"):
            self.rate = rate
        else:
            self._read_rate(rate, iterations, counter)

    def _read_rate(self, rate: Any, iterations: int | Callable[[], int], counter: Tensor | None) -> None:
        entry = self.entry
        if callable(rate) and not isinstance(rate, Tensor):
            entry["schedule"] = check_learning_rate(rate)
            self._written = rate
        schedule = entry.get("schedule")
        if schedule is None:
            self._schedule = None
            on_device = isinstance(rate, Tensor) and rate.device.type != "cpu"
            if counter is not None and isinstance(rate, Tensor):
                on_device = rate.device == counter.device
            self.rate = rate if on_device else number(rate)
            self._written = self.rate if type(rate) is float else None
            return
        if schedule is not self._schedule:
            self._schedule, self._function = schedule, rate_function(schedule)
        if rate is not self._written and rate != self._written:
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
        self.rate = self._written = entry["lr"] = new
