"""The pairs of a step, checked before anything moves."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from rmsprop._core.checks import FLOATS
from rmsprop._core.other_words import stepped_by
from rmsprop._tensorflow.checks import checked, dtype_of


def check_variables(variables: Sequence[Any]) -> None:
    """Refuse what cannot be stepped."""
    for variable in variables:
        if not hasattr(variable, "assign"):
            owner = stepped_by(variable, here="tensorflow")
            raise TypeError(f"{variable!r} is no variable" + (f": {owner}" if owner else ""))
        if isinstance(dtype_of(variable), str):
            raise TypeError(f"variable {variable.name!r} is one of Keras 3: {stepped_by(variable)}")
        if dtype_of(variable).name not in FLOATS:
            raise TypeError(
                f"variable {variable.name!r} has the type {dtype_of(variable).name}: {', '.join(FLOATS)} is needed"
            )


def is_swapped(gradient: Any, variable: Any) -> bool:
    """Whether the first of a pair is the variable, and the second a gradient."""
    is_gradient = variable is None or tf.is_tensor(variable) or isinstance(variable, tf.IndexedSlices)
    return hasattr(gradient, "assign") and is_gradient and not hasattr(variable, "assign")


def with_gradient(pairs: Sequence[tuple[Any, Any]], numbers: Sequence[int]) -> tuple[list[tuple[Any, Any]], list[int]]:
    """Leave out variables without a gradient, and say so; check the others. Their numbers come along."""
    left_out = [variable.name for gradient, variable in pairs if gradient is None]
    if len(left_out) == len(pairs):
        raise ValueError(f"all gradients are None, of the variables {', '.join(left_out)}")
    if left_out:
        tf.get_logger().warning("No gradients for the variables %s: they stay as they are.", ", ".join(left_out))
    found = [(checked(gradient, variable), variable) for gradient, variable in pairs if gradient is not None]
    return found, [number for number, (gradient, _) in zip(numbers, pairs, strict=True) if gradient is not None]
