"""What the tensors of an operation must be: a table for compiled code, and error texts."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf

#: The length of an axis that may have any.
ANY: Final = -1


class Tensor(NamedTuple):
    """What one tensor must be.

    Attributes:
        dtype: its type.
        shape: its shape; `ANY` stands for any length.
        name: what it is, for error texts.
    """

    dtype: Any
    shape: tuple[int, ...]
    name: str = ""


class Table:
    """Types and shapes of several tensors.

    Args:
        tensors: what they are.

    Attributes:
        dtypes: TensorFlow's numbers of the types, int32.
        shapes: int64, a row a tensor, padded.
        ranks: how much of each row counts, int32.
        sizes: bytes of each tensor, if all its lengths are known, int64.
        addresses: where they are in a run, int64, to be filled.
        lengths: their bytes in a run, int64, to be filled.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
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
        """Say what is wrong with a tensor of another type or shape than it must have."""
        wanted = self.tensors[place]
        return ValueError(
            f"{wanted.name} is of the type {tf.as_dtype(dtype).name} and the shape {list(shape)}, not "
            f"{wanted.dtype.name} and {_text(wanted.shape)}, as it was when the step was traced"
        )


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is what it must be."""
    return len(shape) == len(wanted) and all(
        length in (ANY, found) for found, length in zip(shape, wanted, strict=True)
    )


def _text(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if length == ANY else str(length) for length in shape) + "]"
