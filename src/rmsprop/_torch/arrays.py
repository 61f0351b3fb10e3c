"""NumPy's arrays over the memory of torch's tensors, which the CPU's engine works with.

They are made from addresses. `Tensor.numpy()` marks the tensor's storage as one that cannot be resized any more, but
resizing is how sharding and offloading tools give memory back.
"""

from typing import Any, Final

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core.rows import RowSparse

#: How NumPy calls torch's types; bfloat16 by those of its bits.
_NAMES: Final = {
    dtype: numpy.dtype(name).str
    for dtype, name in {
        torch.float16: "f2", torch.bfloat16: "i2", torch.float32: "f4", torch.float64: "f8", torch.int64: "i8",
    }.items()
}  # fmt: skip

#: Where empty tensors are, which torch has nowhere: NumPy 2.0 takes no array there.
_NOTHING: Final = numpy.zeros(1)


class _Memory:
    """A tensor's memory as NumPy's array interface describes it; an array over it holds this.

    Args:
        tensor: of real numbers.
        owner: what the array is to keep alive.
    """

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, tensor: Tensor, owner: Tensor | None) -> None:
        self.owner = owner
        size = tensor.itemsize
        self.__array_interface__ = {
            "version": 3, "typestr": _NAMES[tensor.dtype], "data": (tensor.data_ptr() or _NOTHING.ctypes.data, False),
            "shape": tuple(tensor.shape), "strides": tuple(size * stride for stride in tensor.stride()),
        }  # fmt: skip


def as_array(tensor: Tensor, holds: bool = True) -> NDArray[Any]:
    """Give an array over a tensor's memory; complex numbers as pairs, along an axis more.

    Args:
        tensor: a dense one, on the CPU.
        holds: whether the memory lives as long as the array. Else whoever has the array asks before each use of its
            numbers whether the tensor still lies there.
    """
    real = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor
    array = numpy.asarray(_Memory(real, tensor.detach() if holds else None))
    if real.dtype is not torch.bfloat16:
        return array
    # The one type that NumPy needs a package for; whoever has no bfloat16 tensors never imports it.
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)


def gradient_array(gradient: Tensor) -> NDArray[Any] | RowSparse:
    """Give an array over a gradient's memory, or its rows; what is stored in yet another way is copied."""
    if gradient.layout is torch.sparse_coo and gradient.sparse_dim() == 1:
        return _rows(gradient.detach())
    if gradient.layout is not torch.strided:
        gradient = gradient.to_dense()
    gradient = gradient.detach().resolve_conj().resolve_neg()
    if gradient._is_zerotensor():
        gradient = gradient.clone()  # zeros without memory, as forward-mode differentiation has them
    return as_array(gradient)


def _rows(gradient: Tensor) -> RowSparse:
    values = gradient._values().resolve_conj().resolve_neg()
    if values.is_complex():
        values = torch.view_as_real(values)
    # Repeated rows are summed, of half types in float32: no package is needed to give these to NumPy.
    values = values.float() if values.itemsize == 2 else values
    return RowSparse(as_array(gradient._indices()[0]), as_array(values), (gradient.shape[0], *values.shape[1:]))


def reach(tensor: Tensor) -> int:
    """Give the bytes from a dense tensor's first number to past its last."""
    if tensor.numel() == 0:
        return 0
    steps = [(length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return (1 + sum(steps)) * tensor.itemsize


def is_whole(tensor: Tensor) -> bool:
    """Whether all of a tensor's numbers are in its storage, which may have been resized under it."""
    if tensor.layout is not torch.strided:
        return all(map(is_whole, _parts(tensor)))
    needed = reach(tensor)
    if not needed or tensor._is_zerotensor():
        return True
    return tensor.storage_offset() * tensor.itemsize + needed <= tensor.untyped_storage().nbytes()


def _parts(sparse: Tensor) -> list[Tensor]:
    if sparse.layout is torch.sparse_coo:
        return [sparse._indices(), sparse._values()]
    if sparse.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [sparse.crow_indices(), sparse.col_indices(), sparse.values()]
    if sparse.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [sparse.ccol_indices(), sparse.row_indices(), sparse.values()]
    return []


def repeats_itself(tensor: Tensor) -> bool:
    """Whether two numbers of a dense tensor may share memory, as in an expanded one."""
    if tensor.is_contiguous() or tensor.numel() == 0:
        return False
    needed = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length > 1:
            if stride < needed:
                return True
            needed += stride * (length - 1)
    return False
