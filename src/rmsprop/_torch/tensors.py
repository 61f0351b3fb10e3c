"""A step by torch's own operations, where there is no kernel of ours: on other devices, and for tensor subclasses.

Only norms leave the device, where one is limited.
"""

import builtins
from collections.abc import Sequence
from functools import cache
from typing import Any, final

import torch
from torch import Tensor

from rmsprop._core import rule
from rmsprop._core.items import Item
from rmsprop._core.traced import advance

#: Devices that know no float64.
_NO_DOUBLE = ("mps",)


@torch.no_grad()
def step(items: Sequence[Item], scales: Sequence[float] | None) -> None:
    """Step parameters in place; `scales` is what each gradient is multiplied by, None for nothing."""
    for place, item in enumerate(items):
        group, scale = item.group, None if scales is None else scales[place]
        overwrite = group.overwrite if group.options.overwrites(0) is not None else None
        real = _as_real(item)
        new = advance(_operations(), group.options, real, group.rate, scale, overwrite)
        for name, tensor in real.state().items():
            tensor.copy_(new[name])


@torch.no_grad()
def square_sum(gradient: Tensor) -> float:
    """Return the sum of a gradient's squares, of a distributed one over all of its shards.

    Squares are summed in float64 where the device has it.
    """
    if gradient.device.type == "meta":
        return 0.0
    real = _real(_dense(gradient))
    norm: Any = torch.linalg.vector_norm(real, dtype=torch.float32 if real.device.type in _NO_DOUBLE else torch.float64)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm) ** 2


@cache
def _operations() -> "_Operations":
    return _Operations()


@final
class _Operations:
    """Torch's side of `rmsprop._core.traced.Operations`, for real tensors; norms are found on the host."""

    def __init__(self) -> None:
        # What torch does for subclasses imports modules on behalf of the calling function, and looks for this there.
        self.update = rule.bind(sqrt=torch.sqrt, divide=torch.divide, select=_select, __builtins__=builtins)

    def dtype(self, array: Tensor) -> str:
        return str(array.dtype).removeprefix("torch.")

    def cast(self, array: Tensor, dtype: str) -> Tensor:
        return array.to(getattr(torch, dtype))

    def scalar(self, number: Any, dtype: str) -> Any:
        return number  # an operation rounds it to the type that it computes in

    def dense(self, item: Item) -> Tensor:
        gradient: Tensor = item.gradient
        return gradient


def _select(condition: Any, x: Any, y: Any) -> Any:
    return torch.where(condition, x, y) if isinstance(condition, Tensor) else (x if condition else y)


def _as_real(item: Item) -> Item:
    """Return an item with a dense gradient, complex tensors as pairs of real numbers in the same memory."""
    slots = {name: _real(slot.detach()) for name, slot in item.slots.items()}
    return item._replace(variable=_real(item.variable.detach()), gradient=_real(_dense(item.gradient)), slots=slots)


def _dense(gradient: Tensor) -> Tensor:
    gradient = gradient.detach()
    if gradient.layout is torch.strided:
        return gradient
    # Repeats are summed before they are rounded.
    return (gradient.float() if gradient.dtype.itemsize == 2 else gradient).to_dense()


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
