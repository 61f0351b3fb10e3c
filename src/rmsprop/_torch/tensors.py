"""The rule on tensors: for devices without a kernel of ours, and for subclasses that stand for other tensors.

Torch's operations do the work one after the other; no number leaves the device but the norms, where one clips.
"""

import builtins
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rmsprop._core import rule
from rmsprop._core.scalars import constants
from rmsprop._torch.items import Item

#: Devices that know no float64.
_NO_DOUBLE = ("mps",)


@cache
def _torch_update() -> Any:
    # What torch does for subclasses imports modules on behalf of the calling function, and looks for this there.
    return rule.bind(sqrt=torch.sqrt, divide=torch.divide, select=_select, __builtins__=builtins)


def _select(condition: Any, x: Any, y: Any) -> Any:
    return torch.where(condition, x, y) if isinstance(condition, Tensor) else (x if condition else y)


@torch.no_grad()
def step(items: Sequence[Item], scales: Sequence[float] | None) -> None:
    """Advance parameters; `scales` is what each gradient is multiplied by, None: all are taken as they are."""
    for place, item in enumerate(items):
        _advance(item, None if scales is None else scales[place])


def _advance(item: Item, scale: float | None) -> None:
    options = item.group.options
    owners = [item.parameter, *(item.slots.get(name) for name in rule.STATE[1:])]
    stored = [None if owner is None else _real(owner.detach()) for owner in owners]
    wide = max(one.dtype.itemsize for one in stored if one is not None) == 8
    compute = torch.float64 if wide else torch.float32
    known: dict[str, Any] = {"learning_rate": item.group.rate, "clip_scale": scale, **constants(options, item.decays)}
    if options.use_ema and options.ema_overwrite_frequency is not None:
        known["overwrite"] = item.group.overwrite
    numbers = [None if one is None else one.to(compute) for one in stored]
    scalars = [known.get(name) for name in rule.SCALARS]
    new = _torch_update()(_real(_dense(item.gradient)).to(compute), *numbers, *scalars)
    for one, value in zip(stored, new, strict=True):
        if one is not None:
            one.copy_(value)


@torch.no_grad()
def square_sum(gradient: Tensor) -> float:
    """Sum a gradient's squares, in float64 where the device has it; a distributed one's over all of its shards."""
    if gradient.device.type == "meta":
        return 0.0
    real = _real(_dense(gradient))
    norm: Any = torch.linalg.vector_norm(real, dtype=torch.float32 if real.device.type in _NO_DOUBLE else torch.float64)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm) ** 2


def _dense(gradient: Tensor) -> Tensor:
    gradient = gradient.detach()
    if gradient.layout is torch.strided:
        return gradient
    # Repeats are summed before they are rounded.
    return (gradient.float() if gradient.dtype.itemsize == 2 else gradient).to_dense()


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
