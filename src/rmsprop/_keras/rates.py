"""Learning rates in the forms that Keras's users have them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import keras

from rmsprop.schedules._base import Formula

#: Keras's own class of schedules.
Schedule: Any = keras.optimizers.schedules.LearningRateSchedule


def is_traceable(rate: Any) -> bool:
    """Whether a learning rate is computed by operations of the backend, from a tensor that counts the steps."""
    return isinstance(rate, Schedule | Formula)


def is_compiled(rate: Any) -> bool:
    """True if a schedule is safe to trace; users' subclasses of Keras's are not: they may run Python on the step."""
    return is_traceable(rate) and type(rate).__module__.partition(".")[0] in ("keras", "rmsprop")


def number_of(rate: Any) -> Any:
    """Return the number of a tensor or variable, anything else as it is; TypeError for the other Keras's schedules."""
    if any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(rate).__mro__):
        raise TypeError(
            f"learning_rate={rate!r} is one of tf_keras's schedules: rmsprop.tf_keras.RMSprop takes them, this "
            "optimizer those of keras.optimizers.schedules and of rmsprop.schedules"
        )
    tensor = rate.value if isinstance(rate, keras.Variable) else rate
    if keras.ops.is_tensor(tensor) and len(tensor.shape) == 0:
        return float(keras.ops.convert_to_numpy(tensor))
    return rate


def as_function(rate: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with numbers for its tensors and variables; its signature stays."""

    @wraps(rate)
    def numbers(*steps: Any) -> Any:
        return number_of(rate(*steps))

    return numbers
