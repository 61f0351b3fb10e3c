"""State dicts: what of them fits an optimizer, and the way of their tensors into its own types and devices."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._torch.arguments import check_options
from rmsprop._torch.slots import empty_alike, slot_dtype


class Kept:
    """A tensor on its way through torch's `load_state_dict`, which would round what it recognises as one."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def check_loaded(
    groups: Sequence[Mapping[str, Any]], loaded: Mapping[str, Any], unsaid: Sequence[Collection[str]]
) -> None:
    """Compare a state dict with the groups that it is to be loaded into.

    Args:
        groups: they.
        loaded: the state dict, with groups in the same order.
        unsaid: of each group, entries that were not in the file; they demand no slots.

    Raises:
        ValueError: it is of another optimizer, or holds other slots or shapes; the error lists the differences.
    """
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for place, (group, other) in enumerate(zip(groups, loaded["param_groups"], strict=True)):
        own = {name: group[name] for name in unsaid[place] if name in group}
        options, theirs = check_options(group), _their_options(place, {**other, **own})
        names = group.get("param_names")
        for at, (parameter, number) in enumerate(zip(group["params"], other["params"], strict=True)):
            name = str(number) if names is None else names[at]
            needed = {slot.name: tuple(parameter.shape) for slot in _slots.slots(options)}
            made = {slot.name: tuple(parameter.shape) for slot in _slots.slots(theirs)}
            held = _held(loaded["state"].get(number), made, needed)
            expected |= _summary(parameter, name, needed)
            found |= _summary(parameter, name, held)
    lines = _slots.differences(expected, found)
    if lines:
        raise ValueError("the state dict does not fit this optimizer:\n  " + "\n  ".join(lines))


def _their_options(place: int, other: Mapping[str, Any]) -> Options:
    try:
        done = other.get("iterations")
        if not isinstance(done, int) or done < 0:
            raise TypeError(f"iterations={done!r} is no whole number of at least 0")
        return check_options(other)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the state dict is not one of this optimizer: in its group {place}, {error}") from error


def _held(
    state: Mapping[str, Any] | None, made: Mapping[str, tuple[int, ...]], needed: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Tell which slots a parameter has; `made` are those that its options make, `needed` those that ours do."""
    if state is None:
        # No step was done: what the other would have made is what counts.
        return dict(made)
    held = {name: tuple(one.shape) for name, one in state.items() if isinstance(one, Tensor)}
    # Options may have changed on the way: what was turned off is kept without being used, and what was turned on since
    # the parameter's last step is made at its next. Velocity always is there.
    kept = {name: shape for name, shape in held.items() if name in made or name in needed}
    return {name: made[name] for name in made if name in needed and name != "velocity"} | kept


def _summary(
    parameter: Tensor, name: str, slots: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    # Of any type: what is loaded is rounded to ours.
    dtype = str(parameter.dtype).removeprefix("torch.")
    return {_slots.key(slot, name): (dtype, shape) for slot, shape in slots.items()}


def keep(states: Mapping[Any, Any]) -> dict[Any, Any]:
    """Hide the tensors of a state dict's state from torch."""
    return {
        number: {name: Kept(one) if isinstance(one, Tensor) else one for name, one in state.items()}
        for number, state in states.items()
    }


@torch.no_grad()
def adopt(states: Mapping[Tensor, dict[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """Put tensors that were hidden where and as the parameters need them; they are copied."""
    for group in groups:
        options = check_options(group)
        known = {slot.name for slot in _slots.slots(options)}
        for parameter in group["params"]:
            # Not through `[]`, which would make state for a parameter that has none.
            state = states.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Kept):
                    dtype = slot_dtype(options, parameter) if name in known else value.tensor.dtype
                    state[name] = empty_alike(parameter, dtype).copy_(value.tensor)
