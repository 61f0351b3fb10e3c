"""NumPy's arrays over the memory of torch's tensors, for the kernels of the CPU.

They are made from addresses. `Tensor.numpy()` marks the tensor's storage as one that cannot be resized any more, but
resizing is how sharding and offloading tools give memory back.
"""

from functools import cache
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core import slots
from rmsprop._core.arrays import array_at
from rmsprop._core.rows import RowSparse


def type_name(dtype: torch.dtype) -> str:
    """Return the name of a type, which is NumPy's too."""
    return str(dtype).removeprefix("torch.")


@cache
def numpy_dtype(dtype: torch.dtype) -> numpy.dtype[Any]:
    """Return NumPy's type for one of torch's."""
    return slots.numpy_dtype(type_name(dtype))


def as_array(tensor: Tensor, holds: bool = True) -> NDArray[Any]:
    """Return an array over a tensor's memory; complex numbers are pairs, along one more axis.

    Args:
        tensor: a dense tensor on the CPU.
        holds: whether the array keeps the memory alive. If not, each use of its numbers comes after a check that the
            tensor still has this memory.
    """
    real = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor
    strides = [real.itemsize * stride for stride in real.stride()]
    owner = tensor.detach() if holds else None
    return array_at(real.data_ptr(), numpy_dtype(real.dtype), tuple(real.shape), strides, owner)


def gradient_array(gradient: Tensor) -> NDArray[Any] | RowSparse:
    """Return an array over a gradient's memory, or its rows; a copy for any other layout."""
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
    # Repeated rows are summed, of half types in float32.
    values = values.float() if values.itemsize == 2 else values
    return RowSparse(as_array(gradient._indices()[0]), as_array(values), (gradient.shape[0], *values.shape[1:]))


def reach(tensor: Tensor) -> int:
    """Return the bytes from a dense tensor's first number to past its last."""
    if tensor.numel() == 0:
        return 0
    steps = [(length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return (1 + sum(steps)) * tensor.itemsize


def is_whole(tensor: Tensor) -> bool:
    """Return whether all of a tensor's numbers are in its storage, which may have been resized under it."""
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
    """Return whether two numbers of a dense tensor may share memory, as in an expanded tensor."""
    if tensor.is_contiguous() or tensor.numel() == 0:
        return False
    needed = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length > 1:
            if stride < needed:
                return True
            needed += stride * (length - 1)
    return False
