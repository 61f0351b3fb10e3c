"""Methods that AutoGraph leaves alone, with their types, which TensorFlow's decorator hides from an editor."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

_Method = TypeVar("_Method", bound=Callable[..., Any])


def untraced(method: _Method) -> _Method:
    """Return a method as AutoGraph does not convert it."""
    made: _Method = tf.autograph.experimental.do_not_convert(method)
    return made
