"""Averages of variables whose values are read from a file after the optimizer's state.

Such averages start at the values that are read. From the first step on nothing here changes them.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref


def no_step_since(optimizer: Any) -> Callable[[], bool]:
    """Give a function that tells whether an optimizer still counts as many steps as now.

    Args:
        optimizer: `_count()` gives its number of steps, None where that has no value. It is not kept alive.
    """
    owner, count = ref(optimizer), optimizer._count()

    def still() -> bool:
        one = owner()
        return one is not None and one._count() == count

    return still


class _Assign:
    """A variable's `assign` until it is called for the first time: then averages start at the new value."""

    def __init__(self, variable: Any) -> None:
        self._owner = ref(variable)
        # The optimizer, its average, whether it has done no step since, and how the average starts.
        self.followers: list[tuple[Any, Any, Callable[[], bool], Callable[[Any, Any], None]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        variable: Any = self._owner()
        vars(variable).pop("assign", None)
        done = variable.assign(*args, **kwargs)
        for _, average, still, start in self.followers:
            if still():
                start(average, variable)
        return done

    def __reduce__(self) -> Any:
        # Copies of the variable, and what is unpickled, have the method of their class: averages are not copied along.
        return getattr, (self._owner(), "assign")


def follow(optimizer: Any, average: Any, variable: Any, start: Callable[[Any, Any], None]) -> None:
    """Start an average at its variable's next value, if the optimizer does no step before.

    Args:
        optimizer: whose average it is; see `no_step_since`.
        average: the average.
        variable: its variable, whose next `assign` is noticed.
        start: starts an average at a variable's value.
    """
    leave(optimizer, variable)
    assign = vars(variable).get("assign")
    if not isinstance(assign, _Assign):
        assign = variable.assign = _Assign(variable)
    assign.followers.append((ref(optimizer), average, no_step_since(optimizer), start))


def leave(optimizer: Any, variable: Any) -> None:
    """Do not start an optimizer's average at its variable's next value; those of other optimizers still do."""
    assign = vars(variable).get("assign")
    if isinstance(assign, _Assign):
        assign.followers[:] = [one for one in assign.followers if one[0]() is not optimizer]
        if not assign.followers:
            vars(variable).pop("assign")
