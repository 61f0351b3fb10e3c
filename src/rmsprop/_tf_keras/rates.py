"""Learning rates as tf_keras's base class holds them."""

from collections.abc import Callable
from typing import Any, final

import tensorflow as tf
import tf_keras

from rmsprop._core.rates import LearningRate
from rmsprop._tensorflow.rates import rate_at
from rmsprop.schedules._base import Formula

#: tf_keras's own class of schedules.
Schedule: Any = tf_keras.optimizers.schedules.LearningRateSchedule


@final
class _Rate(Schedule):
    """A schedule of ours, or a function, as tf_keras's base class knows schedules."""

    def __init__(self, rate: Callable[..., Any]) -> None:
        self.rate = rate

    def __call__(self, step: Any) -> Any:
        return rate_at(self.rate, as_count(step))


@final
class Constant(Schedule):
    """A schedule that is always 0."""

    def __call__(self, step: Any) -> Any:
        return tf.zeros((), tf.float32)


def as_count(iterations: Any) -> Any:
    """Return a counter as int64; the optimizer's may be a user's own, of any type of numbers."""
    return iterations if iterations.dtype == tf.int64 else tf.cast(iterations, tf.int64)


def is_called(schedule: Any) -> bool:
    """Whether a learning rate is Python code that runs at every step, which may count how often."""
    return isinstance(schedule, _Rate) and not isinstance(schedule.rate, Formula)


def as_schedule(rate: LearningRate) -> Any:
    """Return a learning rate that depends on the step as a schedule of tf_keras's; a number stays one."""
    return _Rate(rate) if callable(rate) and not isinstance(rate, Schedule) else rate


def ruled(rate: Any, schedule: Any) -> Any:
    """Return the tensor that a schedule made, which raises an error where tf_keras's callbacks assign to it."""

    def assign(value: Any, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"learning_rate={value!r} cannot be set while the schedule {schedule!r} rules: for LearningRateScheduler, "
            "ReduceLROnPlateau and the like construct the optimizer with a number, or leave the callback out"
        )

    if tf.is_tensor(rate) and not hasattr(rate, "assign"):
        rate.assign = assign
    return rate


def number_of(rate: Any) -> Any:
    """Return the number of a tensor or variable; anything else stays what it is."""
    is_number = tf.is_tensor(rate) and not tf.is_symbolic_tensor(rate) and rate.shape.rank == 0
    return float(rate) if is_number else rate
