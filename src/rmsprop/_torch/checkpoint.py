"""State dicts: whether one fits an optimizer, and its tensors in the optimizer's own types and devices."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._torch.arguments import check_options
from rmsprop._torch.arrays import type_name
from rmsprop._torch.slots import empty_alike, slot_dtype

_Shapes = Mapping[str, tuple[int, ...]]


@final
class Hidden:
    """A tensor on its way through torch's `load_state_dict`, which would round a tensor that it recognises."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def check_loaded(
    groups: Sequence[Mapping[str, Any]], loaded: Mapping[str, Any], unsaid: Sequence[Collection[str]]
) -> None:
    """Raise a ValueError that lists the differences between a state dict and the groups of an optimizer.

    The groups are in the same order. `unsaid` has the entries of each group that were not in the file: they demand no
    slots.
    """
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for place, (group, other) in enumerate(zip(groups, loaded["param_groups"], strict=True)):
        own = {name: group[name] for name in unsaid[place] if name in group}
        options, theirs = check_options(group), _check_other(place, {**other, **own})
        names = group.get("param_names")
        for at, (parameter, number) in enumerate(zip(group["params"], other["params"], strict=True)):
            name = str(number) if names is None else names[at]
            needed, made = (
                {slot.name: tuple(parameter.shape) for slot in _slots.slots(one)} for one in (options, theirs)
            )
            held = _held(loaded["state"].get(number), made, needed)
            # Of any type: what is loaded is rounded to ours.
            dtype = type_name(parameter.dtype)
            expected |= {_slots.key(slot, name): (dtype, shape) for slot, shape in needed.items()}
            found |= {_slots.key(slot, name): (dtype, shape) for slot, shape in held.items()}
    lines = _slots.differences(expected, found)
    if lines:
        raise ValueError("the state dict does not fit this optimizer:\n  " + "\n  ".join(lines))


def _check_other(place: int, other: Mapping[str, Any]) -> Options:
    try:
        done = other.get("iterations")
        if not isinstance(done, int) or done < 0:
            raise TypeError(f"iterations={done!r} is no whole number of at least 0")
        return check_options(other)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the state dict is not one of this optimizer: in its group {place}, {error}") from error


def _held(state: Mapping[str, Any] | None, made: _Shapes, needed: _Shapes) -> _Shapes:
    """Return the slots of a parameter; its options make `made`, ours need `needed`."""
    if state is None:
        return made  # no step was done
    held = {name: tuple(one.shape) for name, one in state.items() if isinstance(one, Tensor)}
    # Options may have changed on the way: a slot that was turned off is in the state without being used, and a slot
    # that was turned on since the parameter's last step is made at its next. Velocity always is there.
    kept = {name: shape for name, shape in held.items() if name in made or name in needed}
    return {name: made[name] for name in made if name in needed and name != "velocity"} | kept


def hide(states: Mapping[Any, Any]) -> dict[Any, Any]:
    """Hide the tensors of a state dict's state from torch."""
    return {
        number: {name: Hidden(one) if isinstance(one, Tensor) else one for name, one in state.items()}
        for number, state in states.items()
    }


@torch.no_grad()
def adopt(states: Mapping[Tensor, dict[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """Replace hidden tensors by copies on the parameters' devices, in the types of the state."""
    for group in groups:
        options = check_options(group)
        known = {slot.name for slot in _slots.slots(options)}
        for parameter in group["params"]:
            # Not through `[]`, which would make state for a parameter that has none.
            state = states.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Hidden):
                    dtype = slot_dtype(options, parameter) if name in known else value.tensor.dtype
                    state[name] = empty_alike(parameter, dtype).copy_(value.tensor)
