"""The variables in which Keras's optimizers keep their state."""

from typing import Any

import keras

from rmsprop._core import slots
from rmsprop._core.options import Options
from rmsprop._keras.backends import backend


class _CopyOf(keras.initializers.Initializer):
    """Starts a variable as another one's value, in memory of its own."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        value = keras.ops.stop_gradient(backend().start_of(self._variable))
        return keras.ops.copy(keras.ops.cast(value, dtype))


class _Retyped:
    """A variable as a model for one of another type."""

    def __init__(self, variable: Any, dtype: str) -> None:
        self._variable, self.dtype = variable, dtype

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # Keras asks whether it is one of its own.
        return type(self._variable)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)


def model_of(options: Options, slot: slots.Slot, variable: Any) -> tuple[Any, Any]:
    """Give what a slot's variable is made from: a variable that is like it, and how it starts."""
    reference = variable
    if options.slot_dtype not in (None, keras.backend.standardize_dtype(variable.dtype)):
        reference = _Retyped(variable, str(options.slot_dtype))
    start = _CopyOf(variable) if slot.start is None else keras.initializers.Constant(slot.start)
    return reference, start


def set_to_start(options: Options, slot: slots.Slot, kept: Any, variable: Any) -> None:
    """Set what is kept for a variable to its start, in place: traced functions hold it."""
    _, start = model_of(options, slot, variable)
    kept.assign(start(kept.shape, kept.dtype))
