"""One step on trees: what both interfaces do."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.items import Item
from rmsprop._core.options import check_learning_rate
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.state import RMSpropState, advanced, slots_of
from rmsprop._jax.trees import Leaves, gradients


def step(
    options: ArrayOptions,
    grads: Any,
    leaves: Leaves,
    state: RMSpropState,
    decays: Sequence[bool],
    *,
    learning_rate: Any,
    native: bool,
) -> tuple[list[jax.Array | None], RMSpropState]:
    """Do a step.

    Args:
        options: the checked arguments.
        grads: the tree of gradients.
        leaves: the parameters.
        state: what `rmsprop._jax.state.start` or a step made.
        decays: for each whether weight decay applies.
        learning_rate: a number, or an array without axes.
        native: whether our own kernels may do it.

    Returns:
        For each parameter its new value, or None for one that is left out; and the new state.

    Raises:
        TypeError: the learning rate is no number.
        ValueError: it is several, or below 0 or not finite as far as can be seen; trees or shapes differ, or there is
            no gradient.
    """
    check_rate_of_step(learning_rate)
    slots = slots_of(options, state, leaves)
    given = gradients(grads, leaves)
    kept = [place for place, gradient in enumerate(given) if gradient is not None]
    items = [Item(leaves.values[i], given[i], slots[i], decays[i]) for i in kept]
    done = engine.step(options, items, learning_rate, state.iterations, native=native) if items else []
    values: list[jax.Array | None] = [None] * len(given)
    for place, new in zip(kept, done, strict=True):
        values[place] = new["variable"]
        slots[place] = {name: new[name] for name in slots[place]}
    return values, (advanced(state, leaves, slots) if items else state)


def rate_at(options: ArrayOptions, iterations: Any) -> Any:
    """Give the learning rate of a step: the number, or what a schedule makes of the steps done before."""
    rate = options.learning_rate
    return rate(iterations) if callable(rate) else rate


def check_rate_of_step(rate: Any) -> None:
    """Refuse what a kernel would read the first number of, and XLA would spread over a parameter's last axis.

    A number is looked at unless JAX traces it, or other processes hold it.
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
