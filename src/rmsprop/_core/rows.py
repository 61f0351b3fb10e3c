"""Gradients with few rows that are not zero, as of an embedding table."""

import sys
from numbers import Integral
from typing import Any, final

import numpy
from numpy.typing import ArrayLike, NDArray

from rmsprop._core.checks import FLOATS


def is_masked(array: Any) -> bool:
    """Whether it is a masked array, found without an import of `numpy.ma`."""
    # Another thread may be importing it: then it has no such class yet, and there is no such array.
    return isinstance(array, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ()))


def summed_in(dtype: Any) -> str:
    """Return the name of the type in which rows that repeat are summed: float32 for half types, else their own.

    Args:
        dtype: the name of the rows' type, or the type of a framework that has a `name`.
    """
    name = dtype if isinstance(dtype, str) else str(dtype.name)
    return "float32" if name in ("float16", "bfloat16") else name


@final
class RowSparse:
    """A gradient that is zero in all rows but a few.

    It is the dense array of the given shape whose row r is the sum of ``values[k]`` over all k with ``indices[k] ==
    r``. The optimizer treats it exactly as that array: other rows see a zero gradient, so their averages decay and
    their momentum goes on. Kernels on the CPU read the rows themselves. The dense array is made where the variable's
    axes are not in C order, without kernels, and on JAX and CUDA.

    Args:
        indices: row numbers, integers of shape ``(n,)``, each from 0 to ``shape[0] - 1``, in any order; repeats are
            summed.
        values: the rows, floating point of shape ``(n, *shape[1:])``.
        shape: shape of the variable, at least one axis.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a shape does not fit, or a row number is out of range.

    Example:
        >>> import numpy as np
        >>> from rmsprop import RowSparse
        >>> gradient = RowSparse([2, 0, 2], np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), shape=(4, 2))
        >>> gradient.to_dense()
        array([[3., 4.],
               [0., 0.],
               [6., 8.],
               [0., 0.]])

    References:
        The counterpart of `tf.IndexedSlices`, and of torch's sparse COO tensor with one sparse dimension.
    """

    __slots__ = ("indices", "shape", "values")

    def __init__(self, indices: ArrayLike, values: ArrayLike, shape: tuple[int, ...]) -> None:
        self.shape = _check_shape(shape)
        if any(is_masked(one) for one in (indices, values)):
            raise TypeError("indices or values is a masked array: fill it first")
        self.values: NDArray[Any] = numpy.asarray(values)
        self.indices: NDArray[Any] = numpy.asarray(indices)
        self._check_indices()
        if self.values.dtype.name not in FLOATS:
            raise TypeError(f"values has the type {self.values.dtype}, not one of {', '.join(FLOATS)}")
        wanted = (self.indices.size, *self.shape[1:])
        if self.values.shape != wanted:
            raise ValueError(f"values has the shape {self.values.shape}, not {wanted}, which indices and shape give")

    def _check_indices(self) -> None:
        indices = self.indices
        if indices.size == 0 and indices.ndim == 1:
            indices = self.indices = indices.astype(numpy.int64)
        if indices.dtype.kind not in "iu":
            raise TypeError(f"indices has the type {indices.dtype}, not an integer type")
        if indices.ndim != 1:
            raise ValueError(f"indices has the shape {indices.shape}, not one axis")
        outside = indices[(indices < 0) | (indices >= self.shape[0])]
        if outside.size:
            raise ValueError(f"indices holds {outside[0]}, which is not from 0 to {self.shape[0] - 1}")

    @property
    def dtype(self) -> numpy.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def coalesce(self) -> tuple[NDArray[numpy.int64], NDArray[Any]]:
        """Return ascending row numbers without repeats, and the sum of the rows of each, in C order.

        Float16 and bfloat16 are summed in float32, and the sums are float32.
        """
        indices = self.indices.astype(numpy.int64, copy=False)
        values = self.values.astype(summed_in(self.dtype), copy=False)
        if numpy.all(indices[1:] > indices[:-1]):
            return indices, numpy.ascontiguousarray(values)
        order = numpy.argsort(indices, kind="stable")
        indices = indices[order]
        first = numpy.flatnonzero(numpy.r_[True, indices[1:] != indices[:-1]])
        # `values[order]` and `reduceat` leave the axes in their order in memory.
        return indices[first], numpy.ascontiguousarray(numpy.add.reduceat(values[order], first, axis=0))

    def to_dense(self) -> NDArray[Any]:
        """Return the dense array; float32 for float16 and bfloat16 values, as repeats are summed."""
        rows, values = self.coalesce()
        dense = numpy.zeros(self.shape, values.dtype)
        dense[rows] = values
        return dense

    def __repr__(self) -> str:
        return f"RowSparse({self.indices.size} rows of {self.dtype}, shape={self.shape})"


def _check_shape(shape: Any) -> tuple[int, ...]:
    try:
        lengths = tuple(shape)
    except TypeError as error:
        raise TypeError(f"shape={shape!r} is not a tuple of whole numbers") from error
    if not all(isinstance(length, Integral) and int(length) >= 0 for length in lengths):
        raise ValueError(f"shape={shape!r} is not made of whole numbers of at least 0")
    if not lengths:
        raise ValueError(f"shape={shape!r} has no axis: a gradient of rows needs at least one")
    return tuple(int(length) for length in lengths)
