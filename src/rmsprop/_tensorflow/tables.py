"""The types and shapes that the tensors of an operation must have: a table for compiled code, and error texts."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple, final

import numpy
import tensorflow as tf

#: The length of an axis that may have any.
ANY: Final = -1


@final
class Operand(NamedTuple):
    """The type and shape of one tensor of an operation.

    Attributes:
        dtype: TensorFlow's type.
        shape: lengths of the axes; `ANY` allows any length.
        name: for error texts.
    """

    dtype: Any
    shape: tuple[int, ...]
    name: str = ""


@final
class Table:
    """Types and shapes of several tensors, as arrays for compiled code.

    Args:
        tensors: their types and shapes.

    Attributes:
        dtypes: int32, TensorFlow's number of each type.
        shapes: int64, a row for each tensor, padded.
        ranks: int32, the number of axes of each tensor.
        sizes: int64, the bytes of each tensor whose shape is known.
        addresses: int64, filled in a run: where each tensor is.
        lengths: int64, filled in a run: the bytes of each tensor.
    """

    def __init__(self, tensors: Sequence[Operand]) -> None:
        self.tensors = list(tensors)
        self.dtypes = numpy.array([one.dtype.as_datatype_enum for one in tensors], numpy.int32)
        self.ranks = numpy.array([len(one.shape) for one in tensors], numpy.int32)
        self.sizes = numpy.array([one.dtype.size * prod(one.shape) for one in tensors], numpy.int64)
        self.shapes = numpy.zeros((len(tensors), max([1, *self.ranks])), numpy.int64)
        for row, one in zip(self.shapes, tensors, strict=True):
            row[: len(one.shape)] = one.shape
        self.addresses = numpy.zeros(len(tensors), numpy.int64)
        self.lengths = numpy.zeros(len(tensors), numpy.int64)

    def error(self, place: int, dtype: Any, shape: Sequence[int]) -> ValueError:
        """Return the error for a tensor of another type or shape than it must have."""
        wanted = self.tensors[place]
        return ValueError(
            f"{wanted.name} is of the type {tf.as_dtype(dtype).name} and the shape {list(shape)}, not "
            f"{wanted.dtype.name} and {_text(wanted.shape)}, as it was when the step was traced"
        )


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is as wanted."""
    return len(shape) == len(wanted) and all(
        length in (ANY, found) for found, length in zip(shape, wanted, strict=True)
    )


def _text(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if length == ANY else str(length) for length in shape) + "]"
