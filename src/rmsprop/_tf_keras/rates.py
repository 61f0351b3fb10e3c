"""Learning rates as tf_keras's base class holds them, and their configs."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from rmsprop._options import LearningRate, is_schedule
from rmsprop.engines.tensorflow.rates import rate_at
from rmsprop.schedules import LearningRateSchedule, serialize
from rmsprop.schedules._base import Formula

#: tf_keras's own class of schedules.
Schedule: Any = tf_keras.optimizers.schedules.LearningRateSchedule


class _Rate(Schedule):
    """A schedule of ours, or a function, as tf_keras's base class knows schedules."""

    def __init__(self, rate: Callable[..., Any]) -> None:
        self.rate = rate

    def __call__(self, step: Any) -> Any:
        return rate_at(self.rate, step)


class Constant(Schedule):
    """A schedule that always gives 0."""

    def __call__(self, step: Any) -> Any:
        return tf.zeros((), tf.float32)


def is_called(schedule: Any) -> bool:
    """Whether a learning rate is Python code that runs at every step, which may count how often."""
    return isinstance(schedule, _Rate) and not isinstance(schedule.rate, Formula)


def as_schedule(rate: LearningRate) -> Any:
    """Make a learning rate that depends on the step a schedule of tf_keras's; a number stays one."""
    return _Rate(rate) if callable(rate) and not isinstance(rate, Schedule) else rate


def number_of(rate: Any) -> Any:
    """Take the number out of a tensor or variable; anything else stays what it is."""
    is_number = tf.is_tensor(rate) and not tf.is_symbolic_tensor(rate) and rate.shape.rank == 0
    return float(rate) if is_number else rate


def plain_number(given: Any, variable: Any) -> float:
    """Give a learning rate as the user wrote it, unless the variable was changed since."""
    current = variable.numpy()
    return float(given) if current == current.dtype.type(given) else float(current)


def to_config(schedule: Any) -> Any:
    """Write down a schedule, tf_keras's or ours.

    Raises:
        ValueError: it is a plain function.
    """
    if isinstance(schedule, Schedule):
        return tf_keras.optimizers.schedules.serialize(schedule)
    if not is_schedule(schedule):
        raise ValueError(
            f"learning_rate={schedule!r} is a plain function and cannot be written to a config: "
            "make it a subclass of rmsprop.schedules.LearningRateSchedule with get_config"
        )
    registered = tf_keras.saving.get_registered_name(type(schedule))
    known = {"module": type(schedule).__module__, "registered_name": registered if ">" in registered else None}
    return {**serialize(schedule), **known}


def from_config(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """Read what `to_config` wrote, but for schedules of ours, which `Options.from_config` reads.

    Raises:
        ValueError: it is a schedule of a class that is not known.
    """
    name, registered = str(config.get("class_name")), config.get("registered_name")
    known = (tf_keras.saving.get_registered_object(key, custom_objects) for key in (name, registered) if key)
    mine = next((found for found in known if found is not None), None)
    if isinstance(mine, type) and issubclass(mine, LearningRateSchedule):
        return mine.from_config(config["config"])
    module = str(config.get("module") or "keras").partition(".")[0]
    if module == "rmsprop":
        return config
    if mine is None and registered is None and module not in ("keras", "tf_keras"):
        # None that is built in, though it may be called like one.
        raise ValueError(
            f"learning_rate={dict(config)!r} is a schedule of an unknown class: "
            f"pass custom_objects={{{name!r}: the class}}"
        )
    return tf_keras.optimizers.schedules.deserialize(dict(config), custom_objects=custom_objects)
