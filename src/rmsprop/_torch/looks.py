"""Whether tensors have the types, shapes, strides and storage that they had, which is asked of all tensors at a step.

Torch's compiler has a function that looks at all of them in one call. Reading one property after another takes most of
a small model's step; that is done where the function does not answer yes.
"""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any, final

import torch
from torch import Tensor

# Through `map`, these are the cheapest reads of many tensors.
_ATTRIBUTES = map(attrgetter, ("shape", "dtype", "device"))
_PROPERTIES: tuple[Any, ...] = Tensor.stride, Tensor.is_neg, Tensor.is_conj, *_ATTRIBUTES
_storage, _bytes = Tensor.untyped_storage, torch.UntypedStorage.nbytes


@final
class Looks:
    """Types, shapes, strides and storage of dense tensors; not where the storage is."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._looks, self._places, self._count = _look(tensors), _places(tensors), len(tensors)
        guards = _guards()
        self._check = None if guards is None else guards(tensors)

    def are_of(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether tensors have these properties; a TypeError or RuntimeError where one is no dense tensor."""
        if len(tensors) != self._count or _places(tensors) != self._places:
            return False
        # It also notices what does not matter here, such as `requires_grad`.
        if self._check is not None and self._check(*tensors):
            return True
        return bool(_look(tensors) == self._looks)


def _look(tensors: Sequence[Tensor]) -> Any:
    return [[*map(read, tensors)] for read in _PROPERTIES]


def _places(tensors: Sequence[Tensor]) -> Any:
    return [*map(_bytes, map(_storage, tensors))], [*map(Tensor.storage_offset, tensors)]


@cache
def _guards() -> Any:
    """Return what makes torch's function for given tensors; None if it is missing, or a trial finds another one."""
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
