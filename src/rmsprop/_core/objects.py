"""The layout of CPython's lists in memory, for compiled code that goes through many objects at once.

A list object has, after the header of every object, its length and the address of its items, which are addresses of
objects. `are_known` tries this.
"""

import ctypes
from functools import cache
from typing import Any, Final

#: Bytes from an object's address to that of its type, to the length of a list, and to the address of its items.
TYPE: Final = object.__basicsize__ - 8
LENGTH: Final = object.__basicsize__
ITEMS: Final = object.__basicsize__ + 8


def word(address: int) -> int:
    """Read the 64 bits at an address."""
    return ctypes.c_int64.from_address(address).value


def words(address: int, count: int) -> tuple[int, ...]:
    """Read several words at an address."""
    return tuple((ctypes.c_int64 * count).from_address(address)) if count else ()


@cache
def are_known() -> bool:
    """Whether types and lists are where they are expected: a trial with lists of several lengths."""
    things: list[Any] = [object(), "text", 3.5, None, [], (1,)]
    trials: list[list[Any]] = [things, things[:1], [*things, *things], [things]]
    return list.__basicsize__ >= ITEMS + 8 and all(
        word(id(trial) + TYPE) == id(list)
        and word(id(trial) + LENGTH) == len(trial)
        and words(word(id(trial) + ITEMS), len(trial)) == tuple(map(id, trial))
        for trial in trials
    )
