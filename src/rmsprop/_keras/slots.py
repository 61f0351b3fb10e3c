"""The variables in which Keras's optimizers hold their state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, final

import keras

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.slots import Slot
from rmsprop._keras.backends import backend
from rmsprop._kerases.following import Count, follow


@final
class Built:
    """The variables that an optimizer is built for, and the state of each.

    Attributes:
        variables: these variables.
        slots: slot name -> a variable for each of them, None for one that has no state.
        collected: for each, the variable that collects gradients; empty if each call is a step.
        decays: for each, whether weight decay applies if it is on.
    """

    def __init__(
        self,
        needed: Sequence[Slot],
        variables: Sequence[Any],
        slots: Mapping[str, Sequence[Any]],
        collected: Sequence[Any],
        decays: Sequence[bool],
    ) -> None:
        self.variables, self.slots, self.collected, self.decays = variables, slots, collected, decays
        self._needed = needed

    def start(self) -> None:
        """Set the state to its start, in place: traced functions hold it."""
        self._start(self._needed)
        self.clear()

    def start_averages(self) -> None:
        """Set the averages to their variables' values, in place."""
        self._start(self._copies())

    def clear(self) -> None:
        """Drop collected gradients."""
        for one in self.collected:
            one.assign(keras.ops.zeros(one.shape, one.dtype))

    def follow(self, count: Count) -> bool:
        """Start averages at the next values of their variables, if no step comes before; whether there are any."""
        for slot in self._copies():
            for average, variable in self._pairs(slot):
                follow(count, average, variable, partial(_set_to_start, slot))
        return bool(self._copies())

    def _start(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            for one, variable in self._pairs(slot):
                _set_to_start(slot, one, variable)

    def _copies(self) -> list[Slot]:
        return [slot for slot in self._needed if slot.start is None]

    def _pairs(self, slot: Slot) -> Iterator[tuple[Any, Any]]:
        pairs = zip(self.slots[slot.name], self.variables, strict=True)
        return ((one, variable) for one, variable in pairs if one is not None)


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
    """Make a variable of the state.

    Args:
        options: the checked arguments.
        name: of the slot, or of something else that Keras keeps for a variable.
        variable: the variable that it is for.
        initializer: how it starts, if it is no slot.
        add: Keras's method that makes it.
    """
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


def _set_to_start(slot: Slot, one: Any, variable: Any) -> None:
    """Set a variable's state in a slot to its start, in place."""
    one.assign(_start_of(slot, variable)(one.shape, one.dtype))
