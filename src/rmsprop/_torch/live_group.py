"""One parameter group at each step: users may change its entries at any time, and a step checks what has changed."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard, final

import numpy
from torch import Tensor

from rmsprop._core.options import Options
from rmsprop._core.rates import check_learning_rate, rate_function
from rmsprop._core.switches import against_native
from rmsprop._torch.arguments import DEFAULTS, check_options, make_plain, number, values_of
from rmsprop._torch.exclusion import Exclusion
from rmsprop.schedules._base import Formula

#: In place of the rate that was written: any rate in the entry is accepted.
_ANY: Final = object()


@final
class Common:
    """What the groups of an optimizer have in common. It has no reference to the optimizer, which makes no cycle.

    Attributes:
        defaults: entries of groups that lack them; also those that an older version did not know.
        off: why the user wants no native steps; "" if there is no reason.
        exclusion: which parameters weight decay leaves alone.
        is_wrapped: whether a wrapper with groups of its own, as `ZeroRedundancyOptimizer`, copies all of the
            constructor's arguments into the groups here.
    """

    def __init__(self, defaults: Mapping[str, Any], jit_compile: bool, native: bool | None) -> None:
        self.defaults = {**DEFAULTS, **defaults}
        self.jit_compile, self.native = jit_compile, native
        self.off = against_native(native)
        self.exclusion = Exclusion()
        self.is_wrapped = False


@final
class LiveGroup:
    """What a step reads of one entry of `param_groups`; it is a `rmsprop._torch.interface.Group`.

    Attributes:
        schedule: the schedule or function of the learning rate; None: ``"lr"`` is the rate. It is not in the entry,
            which other libraries copy and save.
    """

    options: Options
    maximize: bool

    def __init__(self, entry: dict[str, Any], number: int, common: Common, schedule: Any = None) -> None:
        self.entry, self.schedule = entry, schedule
        self._number, self._common = number, common
        self._function: Callable[[int], float] | None = None if schedule is None else rate_function(schedule)
        self._values: tuple[Any, ...] | None
        self._read_options()
        # A schedule's last value, or a number that is checked already. The first one is right.
        self._written: Any = None if schedule is None else entry["lr"]
        self.rate: float | Tensor = 0.0
        self.overwrite = False

    def complete(self) -> None:
        """Add missing entries, and replace NumPy's numbers by Python's."""
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
        # Forgotten first: an interrupt on the way must not leave options that are not compared any more.
        self._values = None
        self.options, self.maximize = options, entry["maximize"]
        self._values, self._length = values_of(entry), len(entry)

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors of the group."""
        found: list[Tensor] = self.entry["params"]
        return found

    def decays(self, place: int) -> bool:
        """Return whether weight decay applies to a parameter."""
        return self.options.decays and not self._common.exclusion.covers(self.parameters[place], self.name(place))

    def describe(self, place: int) -> str:
        """Return how error texts call a parameter."""
        name = self.name(place)
        return f"parameter {place} of group {self._number}" if name is None else f"parameter {name!r}"

    def name(self, place: int) -> str | None:
        """Return a parameter's name, None if it has none."""
        names = self.entry.get("param_names")
        return names[place] if names is not None and place < len(names) else None

    def next_rate(self, iterations: Callable[[], int]) -> float:
        """Return the learning rate of the next step."""
        return number(self.entry["lr"]) if self._function is None else self._function(iterations())

    def set_rate(self, rate: Any, iterations: int) -> None:
        """Set a checked learning rate: a number or a tensor, or a schedule or a function for this and later steps."""
        schedule = rate if is_schedule(rate) else None
        function = None if schedule is None else rate_function(schedule)
        value = rate if function is None else function(iterations)
        self._written = _ANY
        self.schedule, self._function = schedule, function
        self.entry["lr"] = value
        self._written = value if schedule is not None else None

    def update(self) -> None:
        """Read the options if the entry has changed; errors of the constructor."""
        # A new or a missing entry may be a word of another library, or one that is needed.
        try:
            changed = len(self.entry) != self._length or values_of(self.entry) != self._values
        except KeyError:
            changed = True
        if changed:
            self._read_options()

    def read(self, iterations: int | Callable[[], int], counter: Tensor | None = None) -> None:
        """Read options and learning rate; errors of the constructor, or `lr` was set while a schedule rules.

        Where a device leads, `iterations` is a function that may wait for the device. `counter` has the steps done
        there: formulas are computed from it, and the device decides whether averages overwrite.
        """
        self.update()
        self.read_rate(iterations, counter)

    def read_rate(self, iterations: int | Callable[[], int], counter: Tensor | None = None) -> None:
        """Read the learning rate, after `update`; as `read`."""
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
            # A step that must not move anything: torch.distributed.checkpoint has state made by one.
            self.rate = 0.0
            return
        assert self._function is not None
        if counter is not None and isinstance(schedule, Formula):
            new = schedule(counter.double())
        else:
            new = self._function(iterations if isinstance(iterations, int) else iterations())
        self.rate = self._written = self.entry["lr"] = new


def is_schedule(rate: Any) -> TypeGuard[Callable[..., Any]]:
    """Return whether a learning rate is computed at each step."""
    return callable(rate) and not isinstance(rate, Tensor)
