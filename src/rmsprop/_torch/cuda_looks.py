"""What a parameter is to the planner of the CUDA kernels."""

from typing import NamedTuple, final

import numpy
import torch

from rmsprop._core import plan
from rmsprop._core.checks import FLOATS
from rmsprop._core.options import Options
from rmsprop._core.scalars import names_on
from rmsprop._core.slots import slots as slots_of
from rmsprop._core.tables import Storage, compute_type
from rmsprop._torch.arrays import numpy_dtype, type_name


@final
class Look(NamedTuple):
    """What a `rmsprop._core.plan.Tensor` is made from, compared at every step.

    The types are those of gradient, parameter and slots; shape and strides are the parameter's.
    """

    types: tuple[torch.dtype, torch.dtype, torch.dtype]
    shape: torch.Size
    strides: tuple[int, ...]
    decays: bool
    options: Options
    group: int
    maximize: bool


def tensor_of(look: Look, aligned: bool, norm_aligned: bool) -> plan.Tensor:
    """Return a parameter for the planner; all of its arrays are contiguous or copied."""
    options = look.options
    for dtype in look.types:
        if type_name(dtype) not in FLOATS:
            raise TypeError(f"a tensor has the type {dtype}: float16, bfloat16, float32 or float64 is needed")
    gradient, variable, slots = map(numpy_dtype, look.types)
    return plan.Tensor(
        size=look.shape.numel(),
        storage=Storage(gradient, variable, slots, numpy.dtype(compute_type(variable, slots))),
        on=names_on(options, [slot.name for slot in slots_of(options)], look.decays, look.maximize),
        group=look.group,
        clips=options.clips_by_norm,
        joint=options.global_clipnorm is not None,
        aligned=aligned,
        norm_aligned=norm_aligned,
    )
