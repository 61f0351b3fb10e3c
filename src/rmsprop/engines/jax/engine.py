"""A whole step on JAX arrays: which way it goes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._options import FLOATS
from rmsprop.engines._fallback import falls_back
from rmsprop.engines.jax import _traced
from rmsprop.engines.jax._available import problem
from rmsprop.engines.jax._items import Item, numpy_slot_dtype
from rmsprop.engines.jax._options import ArrayOptions


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any, *, native: bool
) -> list[dict[str, jax.Array]]:
    """Do a step, or add it to what is being traced.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: an array without axes of any float type, or a number.
        iterations: steps done before, an integer array without axes.
        native: whether our own kernels may do it.

    Returns:
        For each item its new arrays: "variable", and each of its slots by name.

    Warns:
        UserWarning: our kernels should do it, and cannot; see `rmsprop.engines._fallback`.
    """
    if native and _is_for_kernels(options, items) and not falls_back(problem()):
        # Numba is loaded when there is a step for it.
        from rmsprop.engines.jax import _native

        return _native.step(options, items, learning_rate, iterations)
    return _traced.step(options, items, learning_rate, iterations)


def _is_for_kernels(options: ArrayOptions, items: Sequence[Item]) -> bool:
    """Whether a step is one for our kernels: all devices there are is one CPU.

    Under `jax.jit` nothing tells how arrays are sharded; where there is one device only, they are not.
    """
    if not items or not options.jit_compile or jax.device_count() != 1 or jax.devices()[0].platform != "cpu":
        return False
    if not all(_is_ours(options, item) for item in items):
        return False
    return not options.clips_by_norm or (options.axis_name is None and not any(map(_varies, items)))


def _is_ours(options: ArrayOptions, item: Item) -> bool:
    """Whether types and shapes are those that a kernel takes them for: it would read past the end of others."""
    variable, slot = item.variable, numpy_slot_dtype(options, item.variable)
    return (
        jnp.dtype(variable.dtype).name in FLOATS
        and jnp.dtype(item.gradient.dtype).name in FLOATS
        and item.gradient.shape == variable.shape
        and all(one.dtype == slot and one.shape == variable.shape for one in item.slots.values())
    )


def _varies(item: Item) -> bool:
    """Whether a gradient is one of several parts within a `shard_map`."""
    return any(getattr(jax.typeof(part), "vma", ()) for part in jax.tree.leaves(item.gradient))
