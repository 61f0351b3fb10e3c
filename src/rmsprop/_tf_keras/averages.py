"""How averages start: as copies of the variables, which may have no value yet, or not the one they will start with."""

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import ref

import tensorflow as tf


class Owners:
    """The variables that an optimizer was built for, as long as somebody else keeps them."""

    def __init__(self, variables: Sequence[Any] = ()) -> None:
        self._references = [ref(variable) for variable in variables]

    def __iter__(self) -> Iterator[Any]:
        """Give the variables in order, None for each that is gone."""
        return (reference() for reference in self._references)

    def __reduce__(self) -> Any:
        # What is copied or loaded was built for nobody's variables here.
        return Owners, ()


class Unstarted:
    """Averages of variables that have no value yet: their function is being traced, and was never called.

    TensorFlow runs what gives such variables their values either before it traces the function again, or in this
    graph.

    Args:
        pairs: each average, and its variable.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = list(pairs)
        # In a graph it is not known while tracing whether that has been.
        self._started = tf.Variable(False, trainable=False, name="started")

    def start(self) -> bool:
        """Start the averages, or add that to the graph that is being traced; tell whether it is done."""
        with tf.init_scope():
            if all(has_value(variable) for _, variable in self._pairs):
                if not self._started:
                    self._assign()
                return True
        if not tf.distribute.has_strategy():
            tf.cond(self._started, lambda: None, self._assign)
        return False

    def _assign(self) -> None:
        for average, variable in self._pairs:
            copy_into(average, variable)
        self._started.assign(True)


def has_value(variable: Any) -> bool:
    """Whether a variable has a value already."""
    return not tf.executing_eagerly() or bool(variable.is_initialized())


def copy_into(average: Any, variable: Any) -> None:
    """Start an average as its variable is."""
    average.assign(tf.cast(variable, average.dtype))
