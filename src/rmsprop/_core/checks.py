"""Checks of arguments: each returns the argument as a plain value, or raises an error that quotes it."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Final

#: The types of variables, gradients and state.
FLOATS: Final = ("float16", "bfloat16", "float32", "float64")


def check_number(argument: str, value: Any, *, high: float = math.inf, zero: bool = True, or_else: str = "") -> float:
    """Check a number from 0 (above 0 with `zero=False`) to `high`; `or_else` ends the text for what is no number."""
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and not isinstance(value, Real):
        if hasattr(value, "numpy") and not hasattr(value, "item"):  # an eager tensor of TensorFlow
            value = value.numpy()
        value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument}={value!r} is not a number{or_else}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    above = number >= 0 if zero else number > 0
    if not (above and number <= high and math.isfinite(number)):
        least = "at least 0" if zero else "greater than 0"
        limit = f" and at most {high:g}" if math.isfinite(high) else ""
        raise ValueError(f"{argument}={value!r} is not a finite number {least}{limit}")
    return number


def or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return a check that also accepts None, which means that an option is off."""
    return lambda argument, value: None if value is None else check(argument, value)


def check_flag(argument: str, value: Any) -> bool:
    """Check True or False, NumPy's too; 0 and 1 are refused."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{argument}={value!r} is not True or False")
    return bool(value)


def check_frequency(argument: str, value: Any) -> int:
    """Check a number of steps, whole and at least 1; 2.0 is refused."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument}={value!r} is not a whole number or None")
    if value < 1:
        raise ValueError(f"{argument}={value!r} is not a whole number of at least 1, or None")
    return int(value)


def check_text(argument: str, value: Any) -> str:
    """Check a string; NumPy's becomes a plain one."""
    if not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a string")
    return str(value)


def check_type_name(argument: str, value: Any) -> str:
    """Check the name of a type, one of `FLOATS`."""
    if not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a name, one of {', '.join(FLOATS)}, or None")
    if value not in FLOATS:
        raise ValueError(f"{argument}={value!r} is not one of {', '.join(FLOATS)}, or None")
    return str(value)


def check_iterations(value: Any) -> int:
    """Check a number of finished steps, an int64 in files and frameworks."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**63:
        raise ValueError(f"iterations={value!r} is not a whole number from 0 to 2**63 - 1")
    return int(value)
