"""Variables, gradients and state: their types and forms, checked before anything is assigned."""

from collections.abc import Sequence
from typing import Any

import numpy
import tensorflow as tf

from rmsprop._core.checks import FLOATS
from rmsprop._core.items import Item


def dtype_of(variable: Any) -> Any:
    """Return the type in which a variable is stored; under mixed precision `variable.dtype` is another."""
    return getattr(variable, "true_dtype", variable.dtype)


def numpy_dtype(dtype: Any) -> numpy.dtype[Any]:
    """Return NumPy's type for one of TensorFlow's."""
    found: numpy.dtype[Any] = numpy.dtype(dtype.as_numpy_dtype)
    return found


def is_sparse(gradient: Any) -> bool:
    """Whether a gradient is `tf.IndexedSlices`."""
    return isinstance(gradient, tf.IndexedSlices)


def tensors(items: Sequence[Item]) -> list[Any]:
    """List the tensors of all gradients: one of a dense gradient, the values and the row numbers of a sparse one."""
    found = []
    for item in items:
        found += [item.gradient.values, item.gradient.indices] if is_sparse(item.gradient) else [item.gradient]
    return found


def as_gradient(gradient: Any, variable: Any) -> Any:
    """Return a gradient as a tensor or as `tf.IndexedSlices` of tensors, of a float type and the variable's shape.

    Slices have no `dense_shape`: users' may be missing or wrong, and the variable's shape is what counts.
    """
    sparse = is_sparse(gradient)
    if sparse:
        # Users may make slices of NumPy arrays, or of variables.
        gradient = tf.IndexedSlices(*map(tf.convert_to_tensor, (gradient.values, gradient.indices)))
    elif not isinstance(gradient, tf.Tensor):
        _check_array(gradient, variable)
        try:
            gradient = tf.convert_to_tensor(gradient, None if tf.is_tensor(gradient) else dtype_of(variable))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the gradient of variable {variable.name!r} is no tensor: {error}") from error
    if gradient.dtype.name not in FLOATS:
        raise _wrong_type(gradient, variable)
    if sparse:
        gradient = tf.IndexedSlices(gradient.values, _row_numbers(gradient.indices, variable))
    shape = gradient.values.shape[1:] if sparse else gradient.shape
    wanted = variable.shape[1:] if sparse else variable.shape
    if not shape.is_compatible_with(wanted):
        raise ValueError(f"the gradient of variable {variable.name!r} has the shape {shape}, not {wanted}")
    return gradient


def _row_numbers(numbers: Any, variable: Any) -> Any:
    """Return the row numbers of a sparse gradient as int32 or int64, which kernels and TensorFlow's operations take."""
    if variable.shape.rank == 0:
        raise ValueError(f"the gradient of variable {variable.name!r} has rows, and the variable has no axis")
    if not numbers.dtype.is_integer:
        raise TypeError(
            f"the row numbers of the gradient of variable {variable.name!r} have the type {numbers.dtype.name}, "
            "not an integer type"
        )
    return numbers if numbers.dtype in (tf.int32, tf.int64) else tf.cast(numbers, tf.int64)


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


def assertions(item: Item) -> list[Any]:
    """Return operations that refuse rows which the variable does not have, and a wrong shape that was open before."""
    name, sparse = f"the gradient of variable `{item.variable.name}`", is_sparse(item.gradient)
    found: list[Any] = []
    if sparse:
        rows = item.gradient.indices
        size = tf.shape(item.variable, rows.dtype)[0]
        text = f"{name} has rows that are not from 0 to one less than"
        found.append(tf.debugging.Assert(tf.reduce_all((rows >= 0) & (rows < size)), [text, size, rows]))
    given, shape = (item.gradient.values if sparse else item.gradient), item.variable.shape
    if not (given.shape[1:] if sparse else given.shape).is_fully_defined() or not shape.is_fully_defined():
        there, wanted = (tf.shape(one)[1:] if sparse else tf.shape(one) for one in (given, item.variable))
        # Of another number of axes, they cannot be compared.
        same = tf.cond(tf.equal(tf.size(there), tf.size(wanted)), lambda: tf.reduce_all(there == wanted), lambda: False)
        found.append(tf.debugging.Assert(same, [f"{name} has another shape than it:", there, wanted]))
    return [check for check in found if check is not None]


def _check_array(gradient: Any, variable: Any) -> None:
    """Refuse NumPy arrays that TensorFlow would convert to another kind of number."""
    if isinstance(gradient, numpy.ndarray | numpy.generic) and gradient.dtype.kind in "bc":
        raise _wrong_type(gradient, variable)


def _wrong_type(gradient: Any, variable: Any) -> TypeError:
    return TypeError(
        f"the gradient of variable {variable.name!r} has the type {gradient.dtype.name}: {', '.join(FLOATS)} is needed"
    )
