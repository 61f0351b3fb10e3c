"""NumPy's arrays over the memory of torch's tensors, which the CPU's engine works with."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._rows import RowSparse


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Give an array over a tensor's memory; complex numbers as pairs, along an axis more."""
    real = tensor.detach()
    if real.is_complex():
        real = torch.view_as_real(real)
    if real.dtype is not torch.bfloat16:
        return real.numpy()
    # The one type that NumPy needs a package for; whoever has no bfloat16 tensors never imports it.
    import ml_dtypes

    return real.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def gradient_array(gradient: Tensor) -> NDArray[Any] | RowSparse:
    """Give an array over a gradient's memory, or its rows; what is stored in yet another way is copied."""
    if gradient.layout is torch.sparse_coo and gradient.sparse_dim() == 1:
        return _rows(gradient.detach())
    if gradient.layout is not torch.strided:
        gradient = gradient.to_dense()
    gradient = gradient.detach().resolve_conj().resolve_neg()
    if gradient.data_ptr() == 0 and gradient.numel():
        gradient = gradient.clone()  # zeros without memory, as forward-mode differentiation has them
    return as_array(gradient)


def _rows(gradient: Tensor) -> RowSparse:
    values = gradient._values().resolve_conj().resolve_neg()
    if values.is_complex():
        values = torch.view_as_real(values)
    # Repeated rows are summed, of half types in float32: no package is needed to give these to NumPy.
    values = values.float() if values.itemsize == 2 else values
    return RowSparse(gradient._indices()[0].numpy(), values.numpy(), (gradient.shape[0], *values.shape[1:]))
