"""Gradients, looked at before anything moves."""

from collections.abc import Sequence
from typing import Any

import numpy
import tensorflow as tf

from rmsprop._core.options import FLOATS
from rmsprop._tensorflow.items import Item


def dtype_of(variable: Any) -> Any:
    """Give the type that a variable is kept in; with mixed precision it shows another."""
    return getattr(variable, "true_dtype", variable.dtype)


def checked(gradient: Any, variable: Any) -> Any:
    """Give a gradient as a tensor, or as `tf.IndexedSlices` of tensors, of a float type and the variable's shape."""
    sparse = isinstance(gradient, tf.IndexedSlices)
    if sparse:
        # As anybody can make them, of NumPy's arrays or of variables in which they were summed.
        gradient = tf.IndexedSlices(*map(tf.convert_to_tensor, (gradient.values, gradient.indices)))
    elif not isinstance(gradient, tf.Tensor):
        _check_array(gradient, variable)
        try:
            gradient = tf.convert_to_tensor(gradient, None if tf.is_tensor(gradient) else dtype_of(variable))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the gradient of variable {variable.name!r} is no tensor: {error}") from error
    if gradient.dtype.name not in FLOATS:
        raise _wrong_type(gradient, variable)
    shape = gradient.values.shape[1:] if sparse else gradient.shape
    wanted = variable.shape[1:] if sparse else variable.shape
    if not shape.is_compatible_with(wanted):
        raise ValueError(f"the gradient of variable {variable.name!r} has the shape {shape}, not {wanted}")
    return gradient


def check_slots(items: Sequence[Item]) -> None:
    """Refuse state of another shape than its variable's.

    Raises:
        ValueError: there is such state.
    """
    for item in items:
        for slot, owner in item.slots.items():
            if not owner.shape.is_compatible_with(item.variable.shape):
                raise ValueError(
                    f"the {slot} of variable {item.variable.name!r} has the shape {owner.shape}, "
                    f"not {item.variable.shape}"
                )


def _check_array(gradient: Any, variable: Any) -> None:
    """Refuse arrays of NumPy's that TensorFlow would make numbers of another kind of."""
    if isinstance(gradient, numpy.ndarray | numpy.generic) and gradient.dtype.kind in "bc":
        raise _wrong_type(gradient, variable)


def _wrong_type(gradient: Any, variable: Any) -> TypeError:
    return TypeError(
        f"the gradient of variable {variable.name!r} has the type {gradient.dtype.name}: {', '.join(FLOATS)} is needed"
    )
