"""A step by JAX's own operations: what XLA compiles on any device, and what is differentiated and mapped."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core import rule
from rmsprop._core.scalars import constants
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.items import Item, computed_in
from rmsprop._jax.norms import clip_scales
from rmsprop._jax.row_gradients import to_dense

_update = rule.bind(sqrt=jnp.sqrt, divide=jnp.divide, select=jnp.where)


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    """Do a step, or add it to what is being traced.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: an array without axes of any float type, or a number.
        iterations: steps done before, an integer array without axes.

    Returns:
        For each item its new arrays: "variable", and each of its slots by name.
    """
    overwrite = overwrites(options, iterations)
    scales = clip_scales(options, items)
    return [advance(options, *pair, learning_rate, overwrite) for pair in zip(items, scales, strict=True)]


def advance(
    options: ArrayOptions, item: Item, clip_scale: Any, learning_rate: Any, overwrite: Any
) -> dict[str, jax.Array]:
    """Step one variable.

    Args:
        options: the checked arguments.
        item: the variable, its gradient and its state.
        clip_scale: an array without axes, or None.
        learning_rate: as for `step`.
        overwrite: a bool array without axes, or None.
    """
    compute, owners = computed_in(item), item.owners()
    scalars = constants(options, item.decays) | {"learning_rate": learning_rate}
    if clip_scale is not None:
        scalars["clip_scale"] = clip_scale
    scalars = {name: jnp.asarray(value).astype(compute) for name, value in scalars.items()}
    if overwrite is not None:
        scalars["overwrite"] = overwrite
    arguments = [owners[name].astype(compute) if name in owners else None for name in rule.STATE]
    arguments += [scalars.get(name) for name in rule.SCALARS]
    results = _update(to_dense(item).astype(compute), *arguments)
    return {
        name: value.astype(owners[name].dtype)
        for name, value in zip(rule.STATE, results, strict=True)
        if name in owners
    }


def overwrites(options: ArrayOptions, iterations: Any) -> Any:
    """Tell by an array whether the variables become their averages in this step; None if they never do."""
    frequency = options.ema_overwrite_frequency
    if not options.use_ema or frequency is None:
        return None
    # Not `iterations + 1`, which could overflow.
    return jnp.asarray(iterations) % frequency == frequency - 1
