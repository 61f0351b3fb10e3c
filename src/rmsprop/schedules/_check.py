"""What each argument of a schedule may be: checked and made a plain Python value here, once for all six."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np


def _number(argument: str, value: Any, above: float = -math.inf, least: float = -math.inf) -> int | float:
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
    if plain <= above:
        raise ValueError(f"{argument} must be greater than {above}, got {value!r}")
    if plain < least:
        raise ValueError(f"{argument} must be {least} or greater, got {value!r}")
    return plain


def _numbers(argument: str, value: Any, least: float = -math.inf) -> tuple[int | float, ...]:
    """Return a list, a tuple or a one-dimensional array of numbers as a tuple."""
    one_dimensional = not isinstance(value, np.ndarray) or value.ndim == 1
    if isinstance(value, str | bytes | Mapping | set) or not isinstance(value, Iterable) or not one_dimensional:
        raise TypeError(f"{argument} must be a list of numbers, got {value!r} of type {type(value).__name__}")
    return tuple(_number(f"{argument}[{i}]", item, least=least) for i, item in enumerate(value))


def _flag(argument: str, value: Any) -> bool:
    """Return a ``bool``; 0 and 1 are numbers, not flags."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {value!r} of type {type(value).__name__}")
    return bool(value)


def _text_or_none(argument: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{argument} must be a string or None, got {value!r} of type {type(value).__name__}")
    return None if value is None else str(value)  # NumPy's strings are strings, but no plain ones


_positive = partial(_number, above=0)
_not_negative = partial(_number, least=0)


def _not_negative_or_none(argument: str, value: Any) -> int | float | None:
    return None if value is None else _not_negative(argument, value)


# An argument means the same in every schedule that has it, so its check is found by its name.
ARGUMENTS: dict[str, Callable[[str, Any], Any]] = {
    "initial_learning_rate": _not_negative,
    "end_learning_rate": _not_negative,
    "values": partial(_numbers, least=0),
    "boundaries": _numbers,
    "decay_steps": _positive,
    "first_decay_steps": _positive,
    "decay_rate": _number,
    "power": _number,
    "alpha": _number,
    "t_mul": _positive,
    "m_mul": _number,
    "staircase": _flag,
    "cycle": _flag,
    "warmup_target": _not_negative_or_none,
    "warmup_steps": _not_negative,
    "name": _text_or_none,
}
