"""The rule on TensorFlow's tensors: op by op when called eagerly, part of a graph when traced, one kernel under XLA."""

from functools import cache
from typing import Any

import tensorflow as tf

from rmsprop import _rule


@cache
def tensorflow_update() -> Any:
    """Give `rmsprop._rule.update` with TensorFlow's functions."""
    return _rule.bind(sqrt=tf.sqrt, divide=tf.divide, select=_select)


def _select(condition: Any, x: Any, y: Any) -> Any:
    return tf.where(condition, tf.cast(x, y.dtype), y)
