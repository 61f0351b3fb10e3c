"""What a step on CUDA steps: a parameter, its gradient and its state, and what a launch must know of them."""

from typing import Any, Final, NamedTuple

import numpy
import torch
from torch import Tensor

from rmsprop._core import plan
from rmsprop._core.options import Options
from rmsprop._core.rule import SCALARS, STATE
from rmsprop._core.scalars import names_on
from rmsprop._core.slots import slots as slots_of
from rmsprop._core.tables import Storage, compute_type

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
    """What a `rmsprop._core.plan.Tensor` is worked out from, compared at every step."""

    types: tuple[torch.dtype, torch.dtype, torch.dtype]
    shape: torch.Size
    strides: tuple[int, ...]
    decays: bool
    options: Options
    group: int
    maximize: bool


def tensor_of(look: Look, aligned: bool, norm_aligned: bool) -> plan.Tensor:
    """Say what a parameter is to the planner, with all of its arrays contiguous or copied."""
    options = look.options
    for dtype in look.types:
        if dtype not in _NAMES:
            raise TypeError(f"a tensor has the type {dtype}: float16, bfloat16, float32 or float64 is needed")
    gradient, variable, slots = map(numpy_dtype, look.types)
    on = set(names_on(options, [slot.name for slot in slots_of(options)], look.decays))
    if look.maximize:
        on.add("clip_scale")
    return plan.Tensor(
        size=look.shape.numel(),
        storage=Storage(gradient, variable, slots, numpy.dtype(compute_type(variable, slots))),
        on=tuple(name for name in (*STATE, *SCALARS) if name in on),
        group=look.group,
        clips=options.clips_by_norm,
        joint=options.global_clipnorm is not None,
        aligned=aligned,
        norm_aligned=norm_aligned,
    )


def numpy_dtype(dtype: torch.dtype) -> numpy.dtype[Any]:
    """Give NumPy's type for one of torch's."""
    if dtype is torch.bfloat16:
        # The one type that NumPy needs a package for.
        import ml_dtypes

        found: numpy.dtype[Any] = numpy.dtype(ml_dtypes.bfloat16)
        return found
    return numpy.dtype(_NAMES[dtype])
