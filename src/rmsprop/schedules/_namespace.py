"""How a schedule's formula spells ``where``, ``floor``, ``cos`` and ``log`` for the kind of step it was given.

A framework is looked up in ``sys.modules`` and never imported: a step can only be a torch tensor if torch is loaded.
Arithmetic, comparison and powers need no adapter, they are operators everywhere.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np


@final
class Namespace(NamedTuple):
    """The functions and the limits of one compute type."""

    where: Callable[[Any, Any, Any], Any]  # where(condition, this, else_that); either may be a Python float
    floor: Callable[[Any], Any]
    cos: Callable[[Any], Any]
    log: Callable[[Any], Any]
    full_like: Callable[[Any, float], Any]  # full_like(x, value): value in x's shape, type and place
    eps: float
    largest: float
    finish: Callable[[Any], Any] = lambda value: value  # the computed value as the caller gets it
    quiet: Callable[[], AbstractContextManager[Any]] = nullcontext  # within it, inf and NaN arise without a warning


def resolve(step: Any) -> tuple[Namespace, Any]:
    """Return the namespace for a step, and the step in the compute type of the schedule."""
    if isinstance(step, (int, float)) and not isinstance(step, (bool, np.generic)):
        return _NUMBER, np.float64(step)
    if isinstance(step, (np.ndarray, np.generic)):
        _refuse_unless_real(step)
        return _NUMPY, step.astype(np.float64)
    for framework, is_its, adapt in _FRAMEWORKS:
        module = sys.modules.get(framework)
        if module is not None and is_its(module, step):
            _refuse_unless_real(step)
            found: tuple[Namespace, Any] = adapt(module, step)
            return found
    raise TypeError(
        "step must be a number or an array of NumPy, JAX, TensorFlow or torch, "
        f"got {step!r} of type {type(step).__name__}"
    )


def _refuse_unless_real(step: Any) -> None:
    # One test for four kinds of dtype objects, by their names.
    dtype = str(step.dtype)
    if "int" not in dtype and "float" not in dtype:
        raise TypeError(f"step must hold integers or real numbers, got {step!r} of dtype {dtype}")


def _select(condition: Any, this: Any, that: Any) -> np.float64:
    return np.float64(this if condition else that)  # about ten times faster than np.where on a scalar


def _constant(x: Any, value: float) -> np.float64:
    return np.float64(value)


def _scalar_if_0d(value: Any) -> Any:
    return value[()]  # as NumPy's own functions do; np.where and np.full_like return 0-d arrays


_DOUBLE = (float(np.finfo(np.float64).eps), float(np.finfo(np.float64).max))
_SINGLE = (float(np.finfo(np.float32).eps), float(np.finfo(np.float32).max))
# Python numbers are computed as NumPy scalars: those overflow to inf and NaN as IEEE says, where Python's floats raise.
_QUIET = partial(np.errstate, all="ignore")
_NUMBER = Namespace(_select, np.floor, np.cos, np.log, _constant, *_DOUBLE, float, _QUIET)
_NUMPY = Namespace(np.where, np.floor, np.cos, np.log, np.full_like, *_DOUBLE, _scalar_if_0d, _QUIET)


def _torch(torch: Any, step: Any) -> tuple[Namespace, Any]:
    wide = step.dtype == torch.float64
    functions = (torch.where, torch.floor, torch.cos, torch.log, torch.full_like)
    return Namespace(*functions, *(_DOUBLE if wide else _SINGLE)), step.to(torch.float64 if wide else torch.float32)


def _jax(jax: Any, step: Any) -> tuple[Namespace, Any]:
    jnp = jax.numpy
    dtype = jnp.result_type(float)
    functions = (jnp.where, jnp.floor, jnp.cos, jnp.log, jnp.full_like)
    return Namespace(*functions, *(_DOUBLE if dtype == np.float64 else _SINGLE)), step.astype(dtype)


def _tensorflow(tf: Any, step: Any) -> tuple[Namespace, Any]:
    wide = step.dtype == tf.float64
    x = tf.cast(step, tf.float64 if wide else tf.float32)

    # tf.where would make float32 of a Python float, and so would tf.cast, whatever its target.
    def where(condition: Any, this: Any, that: Any) -> Any:
        return tf.where(condition, tf.convert_to_tensor(this, x.dtype), tf.convert_to_tensor(that, x.dtype))

    def full_like(x: Any, value: float) -> Any:
        return tf.fill(tf.shape(x), tf.constant(value, x.dtype))

    return Namespace(where, tf.floor, tf.cos, tf.math.log, full_like, *(_DOUBLE if wide else _SINGLE)), x


#: Framework, whether a step is its array, and the namespace of such a step.
_FRAMEWORKS: Any = (
    ("torch", lambda torch, step: isinstance(step, torch.Tensor), _torch),
    ("jax", lambda jax, step: isinstance(step, jax.Array), _jax),
    ("tensorflow", lambda tf, step: tf.is_tensor(step), _tensorflow),
)
