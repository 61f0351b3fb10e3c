"""What a step steps: a variable, its gradient and its state."""

from math import prod
from typing import Any, NamedTuple

import numpy
import tensorflow as tf


class Item(NamedTuple):
    """One variable of a step.

    Attributes:
        variable: the resource variable itself, without what wraps it.
        gradient: a tensor of its shape, or `tf.IndexedSlices`.
        slots: slot name -> variable.
        decays: whether weight decay applies.
    """

    variable: Any
    gradient: Any
    slots: dict[str, Any]
    decays: bool

    @property
    def sparse(self) -> bool:
        """Whether the gradient has few rows."""
        return isinstance(self.gradient, tf.IndexedSlices)

    @property
    def nbytes(self) -> int:
        """Bytes of the variable and its state."""
        numbers = prod(self.variable.shape)
        return int(numbers * sum(one.dtype.size for one in (self.variable, *self.slots.values())))

    def owner(self, operand: str) -> Any:
        """Give the variable that holds one of `rmsprop._core.rule.STATE`."""
        return self.variable if operand == "variable" else self.slots[operand]


def numpy_dtype(dtype: Any) -> numpy.dtype[Any]:
    """Give NumPy's type for TensorFlow's."""
    found: numpy.dtype[Any] = numpy.dtype(dtype.as_numpy_dtype)
    return found
