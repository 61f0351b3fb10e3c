"""Whether tensors look as they did - types, shapes, strides - which is asked of all of a step's tensors at each step.

Torch's compiler has a function for that, which looks at all of them in one call. Asking for one property after another
takes most of a small model's step; that is done where the function does not say yes.
"""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

# Called through `map`, these are the cheapest ways to ask many tensors.
_shape, _dtype, _device = attrgetter("shape"), attrgetter("dtype"), attrgetter("device")


class Looks:
    """What dense tensors look like."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._looks = _look(tensors)
        self._count = len(tensors)
        guards = _guards()
        self._check = None if guards is None else guards(tensors)

    def are_of(self, tensors: Sequence[Tensor]) -> bool:
        """Whether tensors look like this.

        Raises:
            TypeError, RuntimeError: one of them is none, or not a dense one.
        """
        if len(tensors) != self._count:
            return False
        # It also notices what does not matter here, such as `requires_grad`.
        if self._check is not None and self._check(*tensors):
            return True
        return bool(_look(tensors) == self._looks)


def _look(tensors: Sequence[Tensor]) -> Any:
    methods = torch.Tensor.stride, torch.Tensor.is_neg, torch.Tensor.is_conj, _shape, _dtype, _device
    return [[*map(method, tensors)] for method in methods]


@cache
def _guards() -> Any:
    """Give what makes torch's function for some tensors; None if it is not there, or a trial shows another one."""
    try:
        from torch._C._dynamo.guards import TensorGuards
    except ImportError:
        return None

    def make(tensors: Sequence[Tensor]) -> Any:
        shapes: Any = [list(one.shape) for one in tensors]
        strides: Any = [list(one.stride()) for one in tensors]
        return TensorGuards(*tensors, dynamic_dims_sizes=shapes, dynamic_dims_strides=strides).check

    def notices(one: Tensor, others: Sequence[Tensor]) -> bool:
        check = make([one])
        return check(one.clone()) is True and not any(check(other) for other in (*others, None))

    real, pair = (torch.zeros(2, 3, dtype=dtype, device="cpu") for dtype in (torch.float32, torch.complex64))
    others = [
        real.view(torch.int32), real.double(), real.view(3, 2), real[:1], real.t().contiguous().t(), real.to("meta"),
        real.to_sparse(), torch._neg_view(real),
    ]  # fmt: skip
    try:
        works = notices(real, others) and notices(pair, [pair.conj()])
    except (TypeError, RuntimeError, SystemError):
        return None
    return make if works else None
