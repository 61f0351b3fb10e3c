"""A state dict on its way in: its parameters and groups are brought into the optimizer's order and words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor
from torch.optim import Optimizer

from rmsprop._core.rates import is_schedule
from rmsprop._core.saving.names import Named, pair
from rmsprop._torch.arguments import DEFAULTS, make_plain
from rmsprop._torch.checkpoint import check_loaded, hide
from rmsprop._torch.conversion import KNOWN

#: In this entry a group has the names of its entries that are not in the file.
_UNSAID: Final = "_unsaid"

#: A group without these and without a number of steps is not from this optimizer.
_DISTINCTIVE: Final = frozenset(("rho", "epsilon"))

_Groups = Sequence[Mapping[str, Any]]


def check_and_hide(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Check a state dict before torch reads it, after hooks of the user have changed it: a hook of `Optimizer`."""
    if missing := {"state", "param_groups"} - set(state_dict):
        raise ValueError(f"a state dict has {' and '.join(sorted(missing))}, which this one lacks")
    _refuse_other_rmsprop(state_dict["param_groups"])
    fitting = _fit(optimizer.param_groups, state_dict)
    if fitting is None:
        return None
    unsaid = [group.pop(_UNSAID) for group in fitting["param_groups"]]
    check_loaded(optimizer.param_groups, fitting, unsaid)
    return {**fitting, "state": hide(fitting["state"])}


def _refuse_other_rmsprop(groups: _Groups) -> None:
    """Refuse a state dict of another RMSprop, whose groups have its word for rho."""
    for place, group in enumerate(groups):
        if "alpha" in group and "iterations" not in group:
            raise ValueError(
                f"the state dict is not one of this optimizer: in its group {place}, alpha={group['alpha']!r} is a "
                f"word of {', '.join(KNOWN)}. Load it into such an optimizer: RMSprop.from_optimizer(other) goes on "
                "where that is"
            )


def _fit(groups: _Groups, state_dict: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a state dict with the groups in the order of `groups`, and with the names here; errors of `pair`.

    A group has the options of the saved group with its parameters, and the default of an option that an earlier version
    did not know. `fused` stays as it is here: it is about how a program steps, not about the state. None where groups
    go by position and their sizes differ, which torch refuses.
    """
    theirs: list[dict[str, Any]] = [
        {**group, _UNSAID: DEFAULTS.keys() - group.keys()} for group in state_dict["param_groups"]
    ]
    complete(theirs)
    found = _regroup(groups, theirs, state_dict["state"])
    if [len(group["params"]) for group in groups] != [len(other["params"]) for other in found]:
        return None
    for group, other in zip(groups, found, strict=True):
        other.pop("param_names", None)
        if "param_names" in group:
            other["param_names"] = [*group["param_names"]]
        if "fused" in group:
            other["fused"] = group["fused"]
        # Earlier versions had a schedule in a group, or None for no schedule.
        if "schedule" not in group and (other.get("schedule") is None or is_schedule(other["schedule"])):
            other.pop("schedule", None)
    return {**state_dict, "param_groups": found}


def complete(groups: Sequence[dict[str, Any]]) -> None:
    """Add entries that an older version did not have to saved groups, and replace NumPy's numbers by Python's."""
    done = next((group["iterations"] for group in groups if "iterations" in group), 0)
    for group in groups:
        if "iterations" in group or group.keys() >= _DISTINCTIVE:
            group.setdefault("iterations", done)
            for name, value in DEFAULTS.items():
                group.setdefault(name, value)
        make_plain(group)


def _regroup(groups: _Groups, theirs: Sequence[dict[str, Any]], states: Mapping[Any, Any]) -> list[dict[str, Any]]:
    numbers = [number for other in theirs for number in other["params"]]
    if numbers and all(isinstance(number, str) for number in numbers):
        # From `torch.distributed.checkpoint`, which has brought them into our order, by the model's names.
        return [*theirs]
    mine = [one for group in groups for one in _named(group, [tuple(p.shape) for p in group["params"]], groups)]
    others = [
        one for other in theirs for one in _named(other, [_shape(states.get(n)) for n in other["params"]], theirs)
    ]
    if all(one.name is None for one in (*mine, *others)):
        return [*theirs]  # torch compares the numbers of parameters
    order = pair(mine, others, "state dict")
    owners = [place for place, other in enumerate(theirs) for _ in other["params"]]
    empty = [place for place, other in enumerate(theirs) if not other["params"]]
    found, start = [], 0
    for number, group in enumerate(groups):
        places = order[start : start + len(group["params"])]
        start += len(places)
        owner = {owners[place] for place in places} or set(empty[:1])
        if not places:
            del empty[:1]
        if len(owner) != 1 or len(theirs[min(owner)]["params"]) != len(places):
            raise ValueError(
                f"the state dict has the parameters in other groups: those of param_groups[{number}] are in its groups "
                f"{sorted(owner)}, of {[len(other['params']) for other in theirs]} parameters"
            )
        found.append(theirs[min(owner)] | {"params": [numbers[place] for place in places]})
    if len(found) != len(theirs):
        raise ValueError(f"the state dict has {len(theirs)} parameter groups, here are {len(found)}")
    return found


def _named(group: Mapping[str, Any], shapes: Sequence[tuple[int, ...] | None], groups: _Groups) -> list[Named]:
    fits = all(len(one.get("param_names") or ()) == len(one["params"]) for one in groups)
    names = group.get("param_names") or ()
    return [Named(str(names[place]) if fits else None, shape) for place, shape in enumerate(shapes)]


def _shape(state: Mapping[str, Any] | None) -> tuple[int, ...] | None:
    slot = None if state is None else state.get("velocity")
    return tuple(slot.shape) if isinstance(slot, Tensor) else None
