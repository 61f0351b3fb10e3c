"""A step by TensorFlow's own operations: what runs on other devices, under XLA, in strategies and with DTensor.

The rule is called on tensors, so a graph holds it as some twenty operations a variable, which XLA makes one of.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from rmsprop._core import rule
from rmsprop._core.options import Options
from rmsprop._core.scalars import constants
from rmsprop._tensorflow.items import Item


def _select(condition: Any, x: Any, y: Any) -> Any:
    return tf.where(condition, tf.cast(x, y.dtype), y)


_update = rule.bind(sqrt=tf.sqrt, divide=tf.divide, select=_select)


def step(
    options: Options,
    items: Sequence[Item],
    learning_rate: Any,
    iterations: Any,
    *,
    checks: bool = False,
    constrains: bool = False,
) -> list[Any]:
    """Do a step, or add it to the graph that is being traced; arguments as for the native one.

    Args:
        options: the checked arguments.
        items: what is stepped.
        learning_rate: a tensor without axes of any float type.
        iterations: steps done before, an integer tensor without axes.
        checks: whether row numbers and open shapes are looked at before anything is assigned; under XLA nothing can be
            refused.
        constrains: whether the variables' constraints are held, too: DTensor may read a variable that is assigned in
            the same function before it is.

    Returns:
        Operations and tensors after which it is done: a plain graph has no other order than that of its edges.
    """
    checked = [check for item in items if checks for check in _check(item)]
    # It may be a function's that raises: before anything is assigned, though not everything that is needs it.
    checked.append(learning_rate)
    with tf.control_dependencies(checked):
        scales = clip_scales(options, items)
        overwrite = overwrites(options, iterations)
        assigned = []
        for item, scale in zip(items, scales, strict=True):
            constraint = item.variable.constraint if constrains else None
            assigned += advance(options, item, scale, learning_rate, overwrite, constraint)
    return checked if tf.executing_eagerly() else [*checked, *assigned]


def _check(item: Item) -> list[Any]:
    """Refuse rows that are not the variable's, and a shape that is not, where that was not known before."""
    name = f"the gradient of variable `{item.variable.name}`"
    found: list[Any] = []
    if item.sparse:
        rows = item.gradient.indices
        size = tf.shape(item.variable, rows.dtype)[0]
        text = f"{name} has rows that are not from 0 to one less than"
        found.append(tf.debugging.Assert(tf.reduce_all((rows >= 0) & (rows < size)), [text, size, rows]))
    given, shape = (item.gradient.values if item.sparse else item.gradient), item.variable.shape
    if not (given.shape[1:] if item.sparse else given.shape).is_fully_defined() or not shape.is_fully_defined():
        there, wanted = (tf.shape(one)[1:] if item.sparse else tf.shape(one) for one in (given, item.variable))
        # Of another number of axes, they cannot be compared.
        same = tf.cond(tf.equal(tf.size(there), tf.size(wanted)), lambda: tf.reduce_all(there == wanted), lambda: False)
        found.append(tf.debugging.Assert(same, [f"{name} has another shape than it:", there, wanted]))
    return [check for check in found if check is not None]


def advance(
    options: Options, item: Item, clip_scale: Any, learning_rate: Any, overwrite: Any, constraint: Any = None
) -> list[Any]:
    """Step one variable, and give the operations that assign what is new; eagerly they are None.

    Args:
        options: the checked arguments.
        item: the variable, its gradient and its state.
        clip_scale: a float64 tensor without axes, or None.
        learning_rate: a tensor without axes of any float type.
        overwrite: a bool tensor without axes, or None.
        constraint: what the variable's new value passes through, or None.
    """
    owners = {name: item.owner(name) for name in rule.STATE if name == "variable" or name in item.slots}
    wide = any(owner.dtype == tf.float64 for owner in owners.values())
    compute = tf.float64 if wide else tf.float32
    scalars: dict[str, Any] = {
        name: tf.constant(value, compute) for name, value in constants(options, item.decays).items()
    }
    scalars["learning_rate"] = tf.cast(learning_rate, compute)
    if clip_scale is not None:
        scalars["clip_scale"] = tf.cast(clip_scale, compute)
    if overwrite is not None:
        scalars["overwrite"] = _spread(overwrite, item.variable)
    arguments = [tf.cast(owners[name], compute) if name in owners else None for name in rule.STATE]
    arguments += [scalars.get(name) for name in rule.SCALARS]
    results = _update(tf.cast(to_dense(item), compute), *arguments)
    new = {
        name: tf.cast(value, owners[name].dtype)
        for name, value in zip(rule.STATE, results, strict=True)
        if name in owners
    }
    if constraint is not None:
        new["variable"] = constraint(new["variable"])
    return [owners[name].assign(value, read_value=False) for name, value in new.items()]


def _spread(condition: Any, variable: Any) -> Any:
    # DTensor ends the process where a condition without axes chooses between tensors that have some.
    sharded = isinstance(variable, tf.experimental.dtensor.DVariable)
    return tf.broadcast_to(condition, variable.shape) if sharded else condition


def overwrites(options: Options, iterations: Any) -> Any:
    """Tell by a tensor whether the variables become their averages in this step; None if they never do."""
    frequency = options.ema_overwrite_frequency
    if not options.use_ema or frequency is None:
        return None
    # A count of a small type may not hold the frequency.
    return tf.equal((tf.cast(iterations, tf.int64) + 1) % frequency, 0)


def clip_scales(options: Options, items: Sequence[Item]) -> list[Any]:
    """Give what each gradient is multiplied by: float64 tensors without axes, or None."""
    if not options.clips_by_norm:
        return [None] * len(items)
    squares = [tf.reduce_sum(tf.square(tf.cast(to_dense(item), tf.float64))) for item in items]
    if options.clipnorm is not None:
        return [_scale(tf.sqrt(square), options.clipnorm) for square in squares]
    assert options.global_clipnorm is not None
    norm = tf.sqrt(tf.add_n(squares))
    nan = tf.constant(float("nan"), tf.float64)
    scale = tf.where(tf.math.is_finite(norm), _scale(norm, options.global_clipnorm), nan)
    return [scale] * len(items)


def _scale(norm: Any, limit: float) -> Any:
    # A comparison, as TensorFlow's maximum of NaN and a number may be the number.
    one, limit_ = tf.constant(1, tf.float64), tf.constant(limit, tf.float64)
    return tf.where(norm <= limit_, one, limit_ / norm)


def to_dense(item: Item) -> Any:
    """Give a gradient as a tensor; rows that occur more than once are summed, those of half types in float32."""
    gradient = item.gradient
    if not item.sparse:
        return gradient
    values = tf.cast(gradient.values, tf.float32) if gradient.values.dtype.size == 2 else gradient.values
    # What the gradient itself says of its shape may be missing, or wrong.
    return tf.math.unsorted_segment_sum(values, gradient.indices, tf.shape(item.variable)[0])
