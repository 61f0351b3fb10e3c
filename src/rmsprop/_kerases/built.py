"""The state of an optimizer that is built."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, final
from weakref import ref

from rmsprop._core.slots import Slot
from rmsprop._kerases.following import Count, follow, leave


@final
class Built:
    """The variables that an optimizer is built for, which this does not keep alive, and the state of each."""

    #: Whether averages wait for values of their variables.
    follows = False
    #: In tf_keras, the averages of variables that have no value yet.
    unstarted: Any = None

    def __init__(
        self,
        needed: Sequence[Slot],
        variables: Sequence[Any],
        slots: Mapping[str, Sequence[Any]],  # slot name -> for each variable, the variable of its state, or None
        decays: Sequence[bool],  # for each variable, whether weight decay applies if it is on
        set_to_start: Callable[[Slot, Any, Any], None],  # of a slot, a variable of the state and the one it is for
        collected: Sequence[Any] = (),  # for each variable, the one that collects its gradients; or empty
    ) -> None:
        self.slots, self.decays, self.collected = slots, decays, collected
        self._needed, self._set_to_start = needed, set_to_start
        self._references = [ref(variable) for variable in variables]

    def variables(self) -> list[Any]:
        """Return the variables in order, None for each that is gone."""
        return [reference() for reference in self._references]

    def slots_of(self, number: int) -> dict[str, Any]:
        """Return the state of one variable, slot name -> variable."""
        return {name: made[number] for name, made in self.slots.items()}

    def averages(self) -> list[tuple[Any, Any]]:
        """Pair averages with the variables that are still there."""
        return [pair for slot in self._needed if slot.start is None for pair in self._pairs(slot)]

    def start(self) -> None:
        """Set the state to its start, in place: traced functions hold it."""
        self._start(self._needed)
        self.clear()

    def start_averages(self) -> None:
        """Set the averages to their variables' values, in place."""
        self._start(slot for slot in self._needed if slot.start is None)

    def clear(self) -> None:
        """Drop collected gradients."""
        for one in self.collected:
            self._set_to_start(Slot("gradient_accumulator", 0.0), one, None)

    def follow(self, count: Count) -> None:
        """Start averages at the next values of their variables, if no step comes before."""
        for average, variable in self.averages():
            follow(count, average, variable, partial(self._set_to_start, Slot("average", None)))
            self.follows = True

    def leave(self, count: Count) -> None:
        """Let averages wait no longer."""
        self.follows, self.unstarted = False, None
        for variable in self.variables():
            leave(count, variable)

    def _start(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            for one, variable in self._pairs(slot):
                self._set_to_start(slot, one, variable)

    def _pairs(self, slot: Slot) -> Iterator[tuple[Any, Any]]:
        for one, variable in zip(self.slots[slot.name], self.variables(), strict=True):
            if one is not None and (variable is not None or slot.start is not None):
                yield one, variable
