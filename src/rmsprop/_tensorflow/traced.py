"""A step by TensorFlow's own operations: what runs on other devices, under XLA, in strategies and with DTensor.

A graph holds the rule as some twenty operations a variable, which XLA makes one of.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import tensorflow as tf

from rmsprop._core import rule
from rmsprop._core import traced as _traced
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._tensorflow.checks import assertions, is_sparse


def step(
    options: Options,
    items: Sequence[Item],
    learning_rate: Any,
    iterations: Any,
    *,
    checks: bool = False,
    constrains: bool = False,
) -> list[Any]:
    """Step variables, or add the step to the graph that is being traced.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: a tensor without axes of any float type.
        iterations: steps done before, an integer tensor without axes.
        checks: whether row numbers and open shapes are looked at before anything is assigned; under XLA nothing can be
            refused.
        constrains: whether the variables' constraints are applied, too: DTensor may read a variable that is assigned in
            the same function before it is.

    Returns:
        Operations and tensors after which the step is done: a plain graph has no other order than that of its edges.
    """
    before = [assertion for item in items if checks for assertion in assertions(item)]
    # A function of the user may raise: before anything is assigned, though not every assignment needs the rate.
    before.append(learning_rate)
    sharded = any(isinstance(item.variable, tf.experimental.dtensor.DVariable) for item in items)
    operations = _SHARDED if sharded else OPERATIONS
    with tf.control_dependencies(before):
        assigned: list[Any] = []
        for item, new in _traced.step(operations, options, items, learning_rate, counter(iterations)):
            assigned += assign(item, new, item.variable.constraint if constrains else None)
    return before if tf.executing_eagerly() else [*before, *assigned]


def assign(item: Item, new: dict[str, Any], constraint: Any = None) -> list[Any]:
    """Assign new values, and return the operations that do; eagerly they are None.

    Args:
        item: the variable and its state.
        new: the values by the names of `Item.state`.
        constraint: a function that the variable's value passes through, or None.
    """
    if constraint is not None:
        new["variable"] = constraint(new["variable"])
    state = item.state()
    return [state[name].assign(value, read_value=False) for name, value in new.items()]


def counter(iterations: Any) -> Any:
    """Return the number of steps in a type that holds every `ema_overwrite_frequency`."""
    return tf.cast(iterations, tf.int64)


def to_dense(gradient: Any, variable: Any) -> Any:
    """Return a gradient as a tensor; rows that occur more than once are summed, those of half types in float32."""
    if not is_sparse(gradient):
        return gradient
    values = tf.cast(gradient.values, tf.float32) if gradient.values.dtype.size == 2 else gradient.values
    return tf.math.unsorted_segment_sum(values, gradient.indices, tf.shape(variable)[0])


def _select(condition: Any, x: Any, y: Any) -> Any:
    return tf.where(condition, tf.cast(x, y.dtype), y)


def _select_sharded(condition: Any, x: Any, y: Any) -> Any:
    # DTensor ends the process where a condition without axes chooses between tensors that have axes.
    return _select(tf.broadcast_to(condition, y.shape) if condition.shape != y.shape else condition, x, y)


@final
class _Operations:
    """TensorFlow's side of `rmsprop._core.traced.Operations`; norms and scales are float64 tensors without axes.

    Args:
        select: `tf.where`, as the rule calls it.
    """

    def __init__(self, select: Callable[..., Any]) -> None:
        self.update = rule.bind(sqrt=tf.sqrt, divide=tf.divide, select=select)

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def cast(self, array: Any, dtype: str) -> Any:
        return tf.cast(array, dtype)

    def scalar(self, number: Any, dtype: str) -> Any:
        return tf.cast(number, dtype) if tf.is_tensor(number) else tf.constant(number, dtype)

    def dense(self, item: Item) -> Any:
        return to_dense(item.gradient, item.variable)

    def squares(self, item: Item) -> Any:
        return tf.reduce_sum(tf.square(tf.cast(self.dense(item), tf.float64)))

    def own_scale(self, squares: Any, limit: float) -> Any:
        norm = tf.sqrt(squares)
        # A comparison, as TensorFlow's maximum of NaN and a number may be the number.
        return tf.where(norm <= limit, tf.constant(1, tf.float64), tf.constant(limit, tf.float64) / norm)

    def joint_scale(self, squares: Sequence[Any], limit: float) -> Any:
        total = tf.add_n(squares)
        nan = tf.constant(float("nan"), tf.float64)
        return tf.where(tf.math.is_finite(total), self.own_scale(total, limit), nan)


#: For tensors of one device, and for those of DTensor.
OPERATIONS, _SHARDED = _Operations(_select), _Operations(_select_sharded)
