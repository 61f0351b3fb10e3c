"""A step by JAX's own operations, which XLA compiles for any device, and which are differentiated and mapped."""

from collections.abc import Sequence
from typing import Any, final

import jax
import jax.numpy as jnp

from rmsprop._core import rule
from rmsprop._core import traced as _traced
from rmsprop._core.items import Item
from rmsprop._jax import norms
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.rows import to_dense

#: For each item its new arrays: "variable", and each of its slots by name.
Stepped = list[dict[str, jax.Array]]


def step(options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any) -> Stepped:
    """Step variables, or add the step to what is being traced; see `rmsprop._jax.engine.step`."""
    operations = _Operations(options.axis_name)
    return [new for _, new in _traced.step(operations, options, items, learning_rate, jnp.asarray(iterations))]


@final
class _Operations:
    """JAX's side of `rmsprop._core.traced.Operations`; norms are summed over the mesh axes `axis_name`."""

    update = staticmethod(rule.bind(sqrt=jnp.sqrt, divide=jnp.divide, select=jnp.where))
    own_scale = staticmethod(norms.own_scale)
    joint_scale = staticmethod(norms.joint_scale)

    def __init__(self, axis_name: tuple[str, ...] | None) -> None:
        self._axis_name = axis_name

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def cast(self, array: Any, dtype: str) -> Any:
        return array.astype(dtype)

    def scalar(self, number: Any, dtype: str) -> Any:
        return jnp.asarray(number).astype(dtype)

    def dense(self, item: Item) -> Any:
        return to_dense(item.gradient)

    def squares(self, item: Item) -> list[Any]:
        return norms.squares(to_dense(item.gradient), self._axis_name)
