"""The learning rate of a step: a number in the state, or what a schedule or a function returns."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.options import check_learning_rate, rate_function
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.state import RMSpropState


def first_rate(options: ArrayOptions) -> jax.Array | None:
    """Return the rate of a new state; None where a schedule rules."""
    rate = rate_function(options.learning_rate)(0) if options.calls_rate else options.learning_rate
    # A copy in any case: the memory of the state may be donated.
    return None if callable(rate) else jnp.array(rate, jnp.result_type(float), copy=True)


def set_rate(options: ArrayOptions, state: RMSpropState, value: Any) -> RMSpropState:
    """Return a state with another rate; see `rmsprop.jax.RMSprop.set_learning_rate`."""
    if callable(options.learning_rate):
        raise TypeError(f"learning_rate={value!r} cannot be set while the schedule {options.learning_rate!r} rules")
    if state.rate is None:
        raise ValueError(
            f"learning_rate={value!r} cannot be set in a state without one: it was made where a schedule ruled"
        )
    replace(options, learning_rate=value)  # which checks the value
    if callable(value):
        raise TypeError(f"learning_rate={value!r} is not a number")
    held = jnp.asarray(state.rate)
    # A copy in any case: the memory of the state may be donated.
    return state._replace(rate=jnp.broadcast_to(jnp.array(value, held.dtype, copy=True), held.shape))


def rate_of(options: ArrayOptions, state: RMSpropState) -> Any:
    """Return the rate of the next step: the state's, or that of the options if the state has none.

    Raises:
        ValueError: the state has a rate, and a schedule rules.
    """
    if state.rate is None:
        return rate_at(options, state.iterations)
    if options.schedules_rate:
        raise ValueError(
            f"state.rate: the state holds one, but the schedule {options.learning_rate!r} rules; it was made with "
            "other options. state._replace(rate=None) goes on with the schedule"
        )
    return state.rate


def rate_at(options: ArrayOptions, iterations: Any) -> Any:
    """Return the rate of the options after a number of steps."""
    rate = options.learning_rate
    return rate(iterations) if callable(rate) else rate


def checked_rate_at(options: ArrayOptions, iterations: Any) -> Any:
    """Return the rate of the options after a number of steps, checked as far as can be seen."""
    rate = rate_at(options, iterations)
    check_rate(rate)
    return rate


def check_traceable(options: ArrayOptions, *, is_assigned: bool) -> None:
    """Refuse a rate that is read while a step is traced, and not when the step runs.

    Raises:
        RuntimeError: the rate was assigned after `init`.
        TypeError: the rate is a function without arguments.
    """
    if is_assigned:
        raise RuntimeError(
            f"learning_rate={options.learning_rate!r} was assigned after init(), which a step that is being "
            "traced cannot know of: state = optimizer.set_learning_rate(state, value)"
        )
    if options.calls_rate:
        raise TypeError(
            f"learning_rate={options.learning_rate!r} takes no step: it would be called when the step is "
            "traced, not when it runs. Use a function of the step, or set_learning_rate"
        )


def check_rate(rate: Any) -> None:
    """Refuse a rate of a step that is no single number >= 0.

    A kernel would read the first number of several, and XLA would spread them over a parameter's last axis. The number
    is looked at unless JAX traces it, or other processes hold it.

    Raises:
        TypeError: the rate is no number.
        ValueError: the rate has axes, is below 0 or not finite.
    """
    if not isinstance(rate, int | float) and not hasattr(rate, "dtype"):
        raise TypeError(f"learning_rate={rate!r}, which a schedule gave, is not a number")
    dtype = getattr(rate, "dtype", None)
    if dtype is not None and not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer)):
        raise TypeError(
            f"learning_rate has the type {dtype}, in the state or as a schedule gave it, and is not a number"
        )
    if jnp.shape(rate) != ():
        raise ValueError(
            f"learning_rate has the shape {jnp.shape(rate)}, in the state or as a schedule gave it: one number is "
            "needed; a rate of each model is for vmap"
        )
    if not isinstance(rate, jax.Array) or (not isinstance(rate, jax.core.Tracer) and rate.is_fully_addressable):
        check_learning_rate(rate)
