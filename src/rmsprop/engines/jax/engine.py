"""A whole step on JAX arrays: which way it goes."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import jax

from rmsprop.engines.jax import _traced
from rmsprop.engines.jax._items import Item
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
    """
    kernels = _native() if native else None
    if kernels is not None and kernels.can(options, items):
        done: list[dict[str, jax.Array]] = kernels.step(options, items, learning_rate, iterations)
        return done
    return _traced.step(options, items, learning_rate, iterations)


@cache
def _native() -> Any:
    """Give the module of native steps; None where the installed JAX lacks what it needs."""
    try:
        return import_module("rmsprop.engines.jax._native")
    except ImportError as error:
        if not (error.name or "").startswith("jax"):
            raise
        return None
