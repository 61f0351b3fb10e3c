"""Checks of a schedule's arguments: each returns the plain Python value, or says what is allowed."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np


def number(argument: str, value: Any) -> int | float:
    """Return a finite number as a plain ``int`` or ``float``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{argument} must be a number, got {value!r} of type {type(value).__name__}")
    plain = int(value) if isinstance(value, int | np.integer) else float(value)
    try:
        finite = math.isfinite(plain)
    except OverflowError:  # an int beyond what a double holds
        finite = False
    if not finite:
        raise ValueError(f"{argument} must be finite, got {value!r}")
    return plain


def positive(argument: str, value: Any) -> int | float:
    """Return a number above zero."""
    plain = number(argument, value)
    if plain <= 0:
        raise ValueError(f"{argument} must be greater than 0, got {value!r}")
    return plain


def not_negative(argument: str, value: Any) -> int | float:
    """Return a number that is zero or above."""
    plain = number(argument, value)
    if plain < 0:
        raise ValueError(f"{argument} must be 0 or greater, got {value!r}")
    return plain


def flag(argument: str, value: Any) -> bool:
    """Return a ``bool``; 0 and 1 are numbers, not flags."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {value!r} of type {type(value).__name__}")
    return bool(value)


def optional_text(argument: str, value: Any) -> str | None:
    """Return a string or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{argument} must be a string or None, got {value!r} of type {type(value).__name__}")
    return value


def items(argument: str, value: Any) -> list[Any]:
    """Return the items of a list, a tuple or a one-dimensional array; a string is not a list of numbers."""
    one_dimensional = not isinstance(value, np.ndarray) or value.ndim == 1
    if isinstance(value, str | bytes | dict | set) or not isinstance(value, Iterable) or not one_dimensional:
        raise TypeError(f"{argument} must be a list of numbers, got {value!r} of type {type(value).__name__}")
    return list(value)
