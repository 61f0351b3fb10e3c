"""The pairs of a step, checked before anything moves."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from rmsprop._options import FLOATS


def dtype_of(variable: Any) -> Any:
    """Give the type that a variable is kept in; with mixed precision it shows another."""
    return getattr(variable, "true_dtype", variable.dtype)


def check_variables(variables: Sequence[Any]) -> None:
    """Refuse what cannot be stepped."""
    for variable in variables:
        if not hasattr(variable, "assign"):
            raise TypeError(f"{variable!r} is no variable")
        if dtype_of(variable).name not in FLOATS:
            raise TypeError(
                f"variable {variable.name!r} has the type {dtype_of(variable).name}: {', '.join(FLOATS)} is needed"
            )


def with_gradient(pairs: Sequence[tuple[Any, Any]], numbers: Sequence[int]) -> tuple[list[tuple[Any, Any]], list[int]]:
    """Leave out variables without a gradient, and say so; check the others. Their numbers come along."""
    left_out = [variable.name for gradient, variable in pairs if gradient is None]
    if len(left_out) == len(pairs):
        raise ValueError(f"all gradients are None, of the variables {', '.join(left_out)}")
    if left_out:
        tf.get_logger().warning("No gradients for the variables %s: they stay as they are.", ", ".join(left_out))
    found = [(_checked(gradient, variable), variable) for gradient, variable in pairs if gradient is not None]
    return found, [number for number, (gradient, _) in zip(numbers, pairs, strict=True) if gradient is not None]


def _checked(gradient: Any, variable: Any) -> Any:
    sparse = isinstance(gradient, tf.IndexedSlices)
    if sparse:
        # As anybody can make them, of NumPy's arrays or of variables in which they were summed.
        gradient = tf.IndexedSlices(*map(tf.convert_to_tensor, (gradient.values, gradient.indices)))
    elif not isinstance(gradient, tf.Tensor):
        try:
            gradient = tf.convert_to_tensor(gradient, None if tf.is_tensor(gradient) else dtype_of(variable))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the gradient of variable {variable.name!r} is no tensor: {error}") from error
    if gradient.dtype.name not in FLOATS:
        raise TypeError(
            f"the gradient of variable {variable.name!r} has the type {gradient.dtype.name}: "
            f"{', '.join(FLOATS)} is needed"
        )
    shape = gradient.values.shape[1:] if sparse else gradient.shape
    wanted = variable.shape[1:] if sparse else variable.shape
    if not shape.is_compatible_with(wanted):
        raise ValueError(f"the gradient of variable {variable.name!r} has the shape {shape}, not {wanted}")
    return gradient
