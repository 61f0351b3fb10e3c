"""What a NumPy optimizer has once it knows its variables: the variables, their slots, and the engine of its steps."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, final

from rmsprop._core import slots as _slots
from rmsprop._core.arrays import empty_alike
from rmsprop._core.modes import exact
from rmsprop._core.options import Options
from rmsprop._numpy.engine import Engine
from rmsprop._numpy.variables import Array, Collection, Variables, named

if TYPE_CHECKING:
    from rmsprop._core.saving.checkpoint import Found


@final
class State:
    """The variables' state, at its starting values.

    Args:
        options: the checked arguments.
        variables: the arrays.
        decayed: for each of them, whether weight decay applies.
        native: the argument of the optimizer.

    Attributes:
        slots: slot name -> an array for each variable, its axes in the same order in memory as the variable's.
        engine: steps the variables.
    """

    def __init__(
        self, options: Options, variables: Variables, decayed: Sequence[bool], native: bool | None = None
    ) -> None:
        self.variables = variables
        self.slots: dict[str, list[Array]] = {}
        with exact():
            for slot in _slots.slots(options):
                self.slots[slot.name] = [_start(options, slot, array) for array in variables.arrays]
        self.engine = Engine(options, variables.names, variables.arrays, self.slots, decayed, native)
        self._made_of = options, decayed, native

    def check_same(self, variables: Collection) -> None:
        """Raise a ValueError if these are other variables."""
        if not Variables(variables).are(self.variables):
            raise ValueError(f"the optimizer is built already, for {', '.join(self.variables.names)}")

    def tensors(self) -> dict[str, Array]:
        """Return the slots by their names in a checkpoint."""
        names = self.variables.names
        return {
            _slots.key(slot, name): array
            for slot, arrays in self.slots.items()
            for name, array in zip(names, arrays, strict=True)
        }

    def finalize(self, variables: Collection | None) -> None:
        """Write the averages into these variables; None: into all."""
        self.engine.check()
        arrays = self.variables.arrays
        chosen = arrays if variables is None else named(variables).values()
        with exact():
            for index in [self.variables.find(array) for array in chosen]:
                arrays[index][...] = self.slots["average"][index]

    def save(
        self,
        path: str | os.PathLike[str],
        options: Options,
        iterations: int,
        variables: bool,
        metadata: Mapping[str, str] | None,
    ) -> None:
        """Write a checkpoint; see `rmsprop.numpy.RMSprop.save`."""
        from rmsprop._core.saving import checkpoint

        tensors = self._saved(variables, writing=False)
        group = checkpoint.Group(self.variables.names, options)
        checkpoint.write(path, "numpy", [group], tensors, iterations, metadata)

    def load(
        self, path: str | os.PathLike[str], options: Options, variables: bool, names: Mapping[str, str] | None
    ) -> "Found":
        """Read the numbers of a checkpoint, and return the rest; see `rmsprop.numpy.RMSprop.load`."""
        from rmsprop._core.saving import checkpoint

        mine = self._saved(variables)
        found = checkpoint.read(path, [checkpoint.Group(self.variables.names, options)], mine, names)
        for name, array in mine.items():
            array[...] = found.tensors[name]
        return found

    def _saved(self, variables: bool, writing: bool = True) -> dict[str, Array]:
        """Return the arrays of a checkpoint, after a check of the variables if they are among them."""
        if not variables:
            return self.tensors()
        self.engine.check(writing)
        return self.tensors() | {_slots.key("variable", name): array for name, array in self.variables.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # Addresses and compiled plans belong to this process and to these arrays, and a copy of an array may have
        # other strides: a copy of the state is made anew and takes over the numbers.
        options, decayed, native = self._made_of
        return State._again, (options, dict(self.variables.items()), decayed, self.slots, native)

    @classmethod
    def _again(
        cls,
        options: Options,
        variables: Mapping[str, Array],
        decayed: Sequence[bool],
        slots: dict[str, list[Array]],
        native: bool | None = None,
    ) -> Self:
        state = cls(options, Variables(variables), decayed, native)
        for name, arrays in slots.items():
            for new, old in zip(state.slots[name], arrays, strict=True):
                new[...] = old
        return state


def _start(options: Options, slot: _slots.Slot, variable: Array) -> Array:
    array = empty_alike(variable, _slots.slot_dtype(options, variable.dtype))
    array[...] = variable if slot.start is None else slot.start
    return array
