"""What a NumPy optimizer holds once it knows its variables: they, their slots, and the engine that steps them."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from rmsprop._core import slots as _slots
from rmsprop._core.arrays import empty_alike
from rmsprop._core.modes import exact
from rmsprop._core.options import Options
from rmsprop._numpy.engine import Engine
from rmsprop._numpy.variables import Array, Variables


class State:
    """The variables' state, at its starting values.

    Args:
        options: the checked arguments.
        variables: the arrays.
        decayed: for each of them, whether weight decay applies.

    Attributes:
        slots: slot name -> an array for each variable, which lies in memory as the variable does.
        engine: steps the variables.
    """

    def __init__(self, options: Options, variables: Variables, decayed: Sequence[bool]) -> None:
        self.variables = variables
        self.slots: dict[str, list[Array]] = {}
        with exact():
            for slot in _slots.slots(options):
                self.slots[slot.name] = [_start(options, slot, array) for array in variables.arrays]
        self.engine = Engine(options, variables.names, variables.arrays, self.slots, decayed)
        self._made_of = options, decayed

    def tensors(self) -> dict[str, Array]:
        """Give the slots by the names that a checkpoint has for them."""
        names = self.variables.names
        return {
            _slots.key(slot, name): array
            for slot, arrays in self.slots.items()
            for name, array in zip(names, arrays, strict=True)
        }

    def values(self) -> dict[str, Array]:
        """Give the variables by the names that a checkpoint has for them."""
        return {_slots.key("variable", name): array for name, array in self.variables.items()}

    def finalize(self, variables: Sequence[Any] | None) -> None:
        """Write the averages into some variables, or all."""
        self.engine.check()
        arrays = self.variables.arrays
        with exact():
            for index in [self.variables.find(array) for array in (arrays if variables is None else variables)]:
                arrays[index][...] = self.slots["average"][index]

    def __reduce__(self) -> tuple[Any, ...]:
        # Addresses and compiled plans belong to this process and to these arrays, and a copy of an array need not lie
        # in memory as the array does: a copy is made anew and takes over the numbers.
        options, decayed = self._made_of
        return State._again, (options, dict(self.variables.items()), decayed, self.slots)

    @classmethod
    def _again(
        cls, options: Options, variables: Mapping[str, Array], decayed: Sequence[bool], slots: dict[str, list[Array]]
    ) -> Self:
        state = cls(options, Variables(variables), decayed)
        for name, arrays in slots.items():
            for new, old in zip(state.slots[name], arrays, strict=True):
                new[...] = old
        return state


def _start(options: Options, slot: _slots.Slot, variable: Array) -> Array:
    array = empty_alike(variable, _slots.slot_dtype(options, variable.dtype))
    array[...] = variable if slot.start is None else slot.start
    return array
