"""One variable of a step, as a front end hands it down to an engine."""

from collections.abc import Mapping
from typing import Any, NamedTuple, final

from rmsprop._core.rule import STATE


@final
class Item(NamedTuple):
    """A variable with its gradient and its state: the objects of a framework, for one step.

    Attributes:
        variable: what is trained.
        gradient: an array of the variable's shape, or the framework's form of a few rows.
        slots: slot name -> array or variable; the names are those of `rmsprop._core.slots.slots`.
        decays: whether weight decay applies, if it is on.
        group: the options of many variables, where a framework has several groups of them; else None.
        name: of the variable, for error texts and `explain()`; "" where it is unknown.
    """

    variable: Any
    gradient: Any
    slots: Mapping[str, Any]
    decays: bool
    group: Any = None
    name: str = ""

    def state(self) -> dict[str, Any]:
        """Return the variable and its slots by name, in the order of `rmsprop._core.rule.STATE`."""
        known = {"variable": self.variable, **self.slots}
        return {name: known[name] for name in STATE if name in known}
