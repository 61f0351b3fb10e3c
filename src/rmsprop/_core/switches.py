"""Switches of the user: the argument `native`, and the environment variables for native steps and for threads."""

import os
from typing import Any, Final

#: The environment variable that turns native steps off in the whole process, with the value 0.
SWITCH: Final = "RMSPROP_NATIVE"


def check_native(native: Any) -> bool | None:
    """Return the optimizers' argument `native`, checked.

    Raises:
        TypeError: it is not True, False or None.
    """
    if native is not None and not isinstance(native, bool):
        raise TypeError(f"native={native!r} is not True, False or None")
    return native


def native_by_default() -> bool:
    """Whether the environment allows native steps.

    Raises:
        ValueError: the value of the environment variable is neither 0 nor 1.
    """
    value = os.environ.get(SWITCH, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{SWITCH}={value!r} is neither 0 nor 1")
    return value == "1"


def against_native(native: bool | None) -> str:
    """Return why the user wants no native steps; "" if there is no reason.

    Args:
        native: the optimizer's argument; None: the environment decides.

    Raises:
        ValueError: the value of the environment variable is neither 0 nor 1.
    """
    if native is None:
        return "" if native_by_default() else f"{SWITCH}=0"
    return "" if native else "native=False"


def default_threads() -> int:
    """Return the threads of a step: ``RMSPROP_NUM_THREADS``, else the processors that this process may use."""
    named = os.environ.get("RMSPROP_NUM_THREADS")
    if named is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not named.isascii() or not named.isdecimal() or int(named) < 1:
        raise ValueError(f"RMSPROP_NUM_THREADS={named!r} is not a whole number of at least 1")
    return int(named)
