"""The rule on arrays that XLA can compile: op by op when called eagerly, part of a graph when traced, then one kernel.

A framework is imported when its binding is asked for, by whoever has loaded it already.
"""

from functools import cache
from typing import Any

from rmsprop import _rule


@cache
def tensorflow_update() -> Any:
    """Give `rmsprop._rule.update` with TensorFlow's functions."""
    import tensorflow as tf

    def select(condition: Any, x: Any, y: Any) -> Any:
        return tf.where(condition, tf.cast(x, y.dtype), y)

    return _rule.bind(sqrt=tf.sqrt, divide=tf.divide, select=select)


@cache
def jax_update() -> Any:
    """Give `rmsprop._rule.update` with JAX's functions."""
    import jax.numpy as jnp

    return _rule.bind(sqrt=jnp.sqrt, divide=jnp.divide, select=jnp.where)
