"""What an optimizer has in a pickle or a copy, beside what torch's optimizers have."""

from collections.abc import Sequence
from typing import Any

import torch

from rmsprop import schedules as _schedules
from rmsprop._torch.arguments import DEFAULTS
from rmsprop._torch.exclusion import Exclusion
from rmsprop._torch.groups import Entry, Groups
from rmsprop._torch.live_group import Common
from rmsprop._torch.loading import complete

# Wrappers with parameter groups of their own, as `ZeroRedundancyOptimizer`, save the constructor's arguments in them;
# schedules that are made of a few numbers may be in a weights-only file.
torch.serialization.add_safe_globals(
    [one for name in _schedules.__all__ if isinstance(one := getattr(_schedules, name), type)]
)


def to_state(groups: Groups, entries: list[Entry], schedules: Sequence[Any]) -> dict[str, Any]:
    """Return what is picklable of the groups; `schedules` are those of the learning rates."""
    common = groups.common
    common.exclusion.falls_back(entries)  # brings it up to date
    return {
        "_exclusion": (common.exclusion.tensors, common.exclusion.patterns), "_jit_compile": common.jit_compile,
        "_native": common.native, "_schedule": groups.schedule, "_schedules": schedules,
        "_is_wrapped": common.is_wrapped,
    }  # fmt: skip


def from_state(state: dict[str, Any]) -> Groups:
    """Return the groups of a state, and take what `to_state` added out of it; older versions added less."""
    entries, defaults = state["param_groups"], state["defaults"]
    schedules, schedule = state.pop("_schedules", None), state.pop("_schedule", None)
    if schedules is None:
        schedules, schedule = [entry.pop("schedule", None) for entry in entries], defaults.pop("schedule", None)
    complete(entries)
    for name, value in DEFAULTS.items():
        defaults.setdefault(name, value)
    common = Common(defaults, state.pop("_jit_compile", True), state.pop("_native", None))
    common.is_wrapped = state.pop("_is_wrapped", False)
    common.exclusion = Exclusion(*state.pop("_exclusion", ((), ())))
    common.exclusion.start(entries)
    groups = Groups(common, None, schedule)
    groups.start(entries, schedules)
    return groups
