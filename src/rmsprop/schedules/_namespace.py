"""How a schedule's formula spells ``where``, ``floor``, ``cos`` and ``log`` for the kind of step it was given.

A framework is looked up in ``sys.modules`` and never imported: a step can only be a torch tensor if torch is loaded.
Arithmetic, comparison and powers need no adapter, they are operators everywhere.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Namespace(NamedTuple):
    """The functions and the limits of one compute type."""

    where: Callable[[Any, Any, Any], Any]  # where(condition, this, else_that); either may be a Python float
    floor: Callable[[Any], Any]
    cos: Callable[[Any], Any]
    log: Callable[[Any], Any]
    full_like: Callable[[Any, float], Any]  # full_like(x, value): value in x's shape, type and place
    finish: Callable[[Any], Any]  # the computed value as the caller gets it
    quiet: Callable[[], AbstractContextManager[Any]]  # within it, inf and NaN arise without a warning
    eps: float
    largest: float


def resolve(step: Any) -> tuple[Namespace, Any]:
    """Return the namespace for a step, and the step in the type in which the schedule is computed."""
    if isinstance(step, (int, float)) and not isinstance(step, (bool, np.generic)):
        return _NUMBER, np.float64(step)
    if isinstance(step, (np.ndarray, np.generic)):
        _refuse_unless_real(step)
        return _NUMPY, step.astype(np.float64)
    for framework, adapt in _FRAMEWORKS.items():
        module = sys.modules.get(framework)
        found = None if module is None else adapt(module, step)
        if found is not None:
            return found
    raise TypeError(
        "step must be a number or an array of NumPy, JAX, TensorFlow or torch, "
        f"got {step!r} of type {type(step).__name__}"
    )


def _refuse_unless_real(step: Any) -> None:
    # One test for four kinds of dtype objects: what they have in common is that their names say what they hold.
    dtype = str(step.dtype)
    if "int" not in dtype and "float" not in dtype:
        raise TypeError(f"step must hold integers or real numbers, got {step!r} of dtype {dtype}")


def _select(condition: Any, this: Any, that: Any) -> np.float64:
    return np.float64(this if condition else that)  # some ten times faster than np.where on a scalar


def _constant(x: Any, value: float) -> np.float64:
    return np.float64(value)


def _scalar_if_0d(value: Any) -> Any:
    return value[()]  # as NumPy's own functions do; np.where and np.full_like give 0-d arrays


def _unchanged(value: Any) -> Any:
    return value


_DOUBLE = (float(np.finfo(np.float64).eps), float(np.finfo(np.float64).max))
_SINGLE = (float(np.finfo(np.float32).eps), float(np.finfo(np.float32).max))
# Python numbers are computed as NumPy scalars: those go to inf and NaN as IEEE says, where Python's floats raise.
_QUIET = partial(np.errstate, all="ignore")
_NUMBER = Namespace(_select, np.floor, np.cos, np.log, _constant, float, _QUIET, *_DOUBLE)
_NUMPY = Namespace(np.where, np.floor, np.cos, np.log, np.full_like, _scalar_if_0d, _QUIET, *_DOUBLE)


def _torch(torch: Any, step: Any) -> tuple[Namespace, Any] | None:
    if not isinstance(step, torch.Tensor):
        return None
    _refuse_unless_real(step)
    wide = step.dtype == torch.float64
    limits = _DOUBLE if wide else _SINGLE
    functions = (torch.where, torch.floor, torch.cos, torch.log, torch.full_like)
    return Namespace(*functions, _unchanged, nullcontext, *limits), step.to(torch.float64 if wide else torch.float32)


def _jax(jax: Any, step: Any) -> tuple[Namespace, Any] | None:
    if not isinstance(step, jax.Array):
        return None
    _refuse_unless_real(step)
    jnp = jax.numpy
    dtype = jnp.result_type(float)
    limits = _DOUBLE if dtype == np.float64 else _SINGLE
    functions = (jnp.where, jnp.floor, jnp.cos, jnp.log, jnp.full_like)
    return Namespace(*functions, _unchanged, nullcontext, *limits), step.astype(dtype)


def _tensorflow(tf: Any, step: Any) -> tuple[Namespace, Any] | None:
    if not tf.is_tensor(step):
        return None
    _refuse_unless_real(step)
    wide = step.dtype == tf.float64
    limits = _DOUBLE if wide else _SINGLE
    x = tf.cast(step, tf.float64 if wide else tf.float32)

    # tf.where would take a Python float for float32, and so would tf.cast, whatever it then casts to.
    def where(condition: Any, this: Any, that: Any) -> Any:
        return tf.where(condition, tf.convert_to_tensor(this, x.dtype), tf.convert_to_tensor(that, x.dtype))

    def full_like(x: Any, value: float) -> Any:
        return tf.fill(tf.shape(x), tf.constant(value, x.dtype))

    return Namespace(where, tf.floor, tf.cos, tf.math.log, full_like, _unchanged, nullcontext, *limits), x


_FRAMEWORKS = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
