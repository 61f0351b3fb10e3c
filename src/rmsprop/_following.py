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


def follow(average: Any, variable: Any, still: Callable[[], bool], start: Callable[[Any, Any], None]) -> None:
    """Start an average at its variable's next value.

    Args:
        average: the average.
        variable: its variable, whose next `assign` is noticed.
        still: tells whether no step has come before.
        start: starts an average at a variable's value.
    """
    owner = ref(variable)

    def assign(*args: Any, **kwargs: Any) -> Any:
        variable: Any = owner()
        leave(variable)
        done = variable.assign(*args, **kwargs)
        if still():
            start(average, variable)
        return done

    variable.assign = assign


def leave(variable: Any) -> None:
    """Notice a variable's `assign` no more."""
    vars(variable).pop("assign", None)
