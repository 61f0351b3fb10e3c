"""What a step on CUDA steps: a parameter, its gradient and its state, and what a launch must know of them."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from rmsprop._core.cuda.launches import FLAGS, Kind
from rmsprop._core.options import Options
from rmsprop._core.scalars import changing, constants
from rmsprop._core.slots import slots as slots_of

Rate = float | Tensor

_NAMES: Final = {
    torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64",
}  # fmt: skip


class Item(NamedTuple):
    """One parameter of a step; complex ones come as `torch.view_as_real` gives them.

    Attributes:
        parameter: what is stepped.
        gradient: of its shape, dense or sparse COO.
        slots: slot name -> tensor, without gaps, its axes in memory as the parameter's (`torch.empty_like` makes one).
        decays: whether weight decay applies, if it is on.
        options: the checked arguments of its group; None: the engine's.
        learning_rate: of its group; None: the step's.
        maximize: whether to go up.
    """

    parameter: Tensor
    gradient: Tensor
    slots: dict[str, Tensor]
    decays: bool
    options: Options | None = None
    learning_rate: Rate | None = None
    maximize: bool = False


class Look(NamedTuple):
    """What a `Kind` is worked out from, compared at every step."""

    types: tuple[torch.dtype, torch.dtype, torch.dtype]
    shape: torch.Size
    strides: tuple[int, ...]
    decays: bool
    options: Options
    group: int
    maximize: bool


def kind_of(look: Look, aligned: bool, norm_aligned: bool) -> Kind:
    """Work out what a launch must know of a tensor."""
    options = look.options
    for dtype in look.types:
        if dtype not in _NAMES:
            raise TypeError(f"a tensor has the type {dtype}: float16, bfloat16, float32 or float64 is needed")
    on = {*constants(options, look.decays), *changing(options), *(slot.name for slot in slots_of(options))}
    if look.maximize:
        on.add("clip_scale")
    clip = "own" if options.clipnorm is not None else "global" if options.global_clipnorm is not None else ""
    gradient, variable, slots = (_NAMES[dtype] for dtype in look.types)
    flags = tuple(name in on for name in FLAGS)
    return Kind(
        look.shape.numel(), gradient, variable, slots, flags, look.group, clip, aligned, norm_aligned, look.maximize
    )
