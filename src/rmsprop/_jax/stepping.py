"""One step on trees, for the optimizer and for the transformation."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop._core.items import Item
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.rate import check_rate
from rmsprop._jax.state import FIELDS, RMSpropState, slots_of
from rmsprop._jax.trees import Leaves, gradients, rebuild


def step(
    options: ArrayOptions, grads: Any, leaves: Leaves, state: RMSpropState, decays: Sequence[bool], *,
    learning_rate: Any, native: bool,
) -> tuple[list[jax.Array | None], RMSpropState]:  # fmt: skip
    """Return for each parameter its new value, None without a gradient; and the new state.

    Raises:
        TypeError: the learning rate is no number.
        ValueError: the learning rate is several numbers, below 0 or not finite as far as can be seen; trees or shapes
            differ, or there is no gradient.
    """
    check_rate(learning_rate)
    slots = slots_of(options, state, leaves)
    given = gradients(grads, leaves)
    places = [place for place, gradient in enumerate(given) if gradient is not None]
    values: list[jax.Array | None] = [None] * len(given)
    if not places:
        return values, state
    items = [Item(leaves.values[place], given[place], slots[place], decays[place]) for place in places]
    done = engine.step(options, items, learning_rate, state.iterations, native=native)
    for place, new in zip(places, done, strict=True):
        values[place] = new.pop("variable")
        slots[place] = new
    trees = {FIELDS[name]: rebuild(leaves, [one[name] for one in slots]) for name in slots[0]}
    return values, state._replace(iterations=optax.safe_increment(jnp.asarray(state.iterations)), **trees)
