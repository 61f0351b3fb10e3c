"""The step by which `torch.distributed.checkpoint` has an optimizer make its state: nothing moves, nothing counts."""

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rmsprop._torch.live_group import LiveGroup
from rmsprop._torch.slots import complete
from rmsprop._torch.tensors import square_sum


def only_makes_state(groups: Sequence[LiveGroup]) -> bool:
    """Return whether the first step of an optimizer moves nothing.

    All rates are 0 then, on the host, and each parameter that is trained has a gradient, all of zeros.
    """
    if not all(_is_zero(group.entry["lr"]) for group in groups):
        return False
    moving = [parameter for group in groups for parameter in group.parameters if parameter.requires_grad]
    gradients = [gradient for parameter in moving if (gradient := parameter.grad) is not None]
    if not moving or len(gradients) != len(moving):
        return False
    return all(gradient.layout is torch.strided and square_sum(gradient) == 0 for gradient in gradients)


def _is_zero(rate: Any) -> bool:
    if isinstance(rate, Tensor):
        return rate.device.type == "cpu" and rate.numel() == 1 and bool(rate == 0)
    return isinstance(rate, int | float) and rate == 0


@torch.no_grad()
def make_state(groups: Sequence[LiveGroup], states: MutableMapping[Tensor, dict[str, Any]]) -> None:
    """Make the state before the first step, of all parameters that have a gradient or of none."""
    made = []
    for group in groups:
        group.read(0)
        moving = [parameter for parameter in group.parameters if parameter.grad is not None]
        made += [(one, complete(group.options, one, states.get(one, {}))) for one in moving]
    for parameter, slots in made:
        states[parameter].update(slots)
