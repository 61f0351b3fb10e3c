"""The variables in which Keras's optimizers hold their state."""

from collections.abc import Callable
from typing import Any, final

import keras

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.slots import Slot
from rmsprop._keras.backends import backend


@final
class _CopyOf(keras.initializers.Initializer):
    """Starts a variable as another one's value, in memory of its own."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        value = keras.ops.stop_gradient(backend().start_of(self._variable))
        return keras.ops.copy(keras.ops.cast(value, dtype))


@final
class _Retyped:
    """A variable as a model for one of another type."""

    def __init__(self, variable: Any, dtype: str) -> None:
        self._variable, self.dtype = variable, dtype

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # Keras checks whether it is one of its own.
        return type(self._variable)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)


def make(options: Options, name: str | None, variable: Any, initializer: Any, add: Callable[..., Any]) -> Any:
    """Make a variable of the state by Keras's method `add`; the initializer is used where `name` is no slot's."""
    model, copied = variable, None
    for slot in _slots.slots(options):
        if slot.name == name:
            initializer, copied = _start_of(slot, variable), variable if slot.start is None else None
            if options.slot_dtype not in (None, keras.backend.standardize_dtype(variable.dtype)):
                model = _Retyped(variable, str(options.slot_dtype))
    with backend().making(copied):
        return add(model, name, initializer)


def _start_of(slot: Slot, variable: Any) -> Any:
    return _CopyOf(variable) if slot.start is None else keras.initializers.Constant(slot.start)


def set_to_start(slot: Slot, one: Any, variable: Any) -> None:
    """Set a variable's state in a slot to its start, in place."""
    one.assign(_start_of(slot, variable)(one.shape, one.dtype))
