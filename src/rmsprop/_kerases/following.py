"""Averages of variables whose values are read from a file after the optimizer's state.

Such averages start at the values that are read. From the first step on nothing here changes them.
"""

from collections.abc import Callable
from typing import Any, final
from weakref import WeakMethod, ref

#: The method of an optimizer that returns its number of steps, or None where that has no value.
Count = Callable[[], int | None]


def no_step_since(count: Count) -> Callable[[], bool]:
    """Return a function that checks whether an optimizer, which it does not keep alive, has done no step since now."""
    method, before = WeakMethod(count), count()

    def still() -> bool:
        now = method()
        return now is not None and now() == before

    return still


@final
class _Assign:
    """A variable's `assign` until the first call: then averages start at the new value."""

    def __init__(self, variable: Any) -> None:
        self._owner = ref(variable)
        # The `count` of an optimizer, its average, whether it has done no step since, and how the average starts.
        self.followers: list[tuple[WeakMethod[Count], Any, Callable[[], bool], Callable[[Any, Any], None]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        variable: Any = self._owner()
        vars(variable).pop("assign", None)
        done = variable.assign(*args, **kwargs)
        for _, average, still, start in self.followers:
            if still():
                start(average, variable)
        return done

    def __reduce__(self) -> Any:
        # Copies of the variable, and what is unpickled, have the method of their class: averages are not copied.
        return getattr, (self._owner(), "assign")


def follow(count: Count, average: Any, variable: Any, start: Callable[[Any, Any], None]) -> None:
    """Call `start` with an average and its variable at that variable's next value, if there is no step before."""
    leave(count, variable)
    assign = vars(variable).get("assign")
    if not isinstance(assign, _Assign):
        assign = variable.assign = _Assign(variable)
    assign.followers.append((WeakMethod(count), average, no_step_since(count), start))


def leave(count: Count, variable: Any) -> None:
    """Do not start an optimizer's average at its variable's next value; those of other optimizers still do."""
    assign = vars(variable).get("assign")
    if isinstance(assign, _Assign):
        assign.followers[:] = [one for one in assign.followers if one[0]() != count]
        if not assign.followers:
            vars(variable).pop("assign")
