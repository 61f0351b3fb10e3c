"""What the environment says: whether steps are native, which a framework that saves or exports them may forbid, and by
how many threads."""

import os
from typing import Final

#: The environment variable that turns native steps off in the whole process, with the value 0.
SWITCH: Final = "RMSPROP_NATIVE"


def native_by_default() -> bool:
    """Whether the environment lets steps go by our own kernels.

    Raises:
        ValueError: the environment variable says neither yes nor no.
    """
    value = os.environ.get(SWITCH, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{SWITCH}={value!r} is neither 0 nor 1")
    return value == "1"


def against_native(native: bool | None) -> str:
    """Why a user wants no kernels of ours; "" if none is known.

    Args:
        native: the argument of the optimizer; None: as the environment says.

    Raises:
        ValueError: as `native_by_default`.
    """
    if native is None:
        return "" if native_by_default() else f"{SWITCH}=0"
    return "" if native else "native=False"


def default_threads() -> int:
    """Threads that a step uses: ``RMSPROP_NUM_THREADS``, else the processors this process may use."""
    named = os.environ.get("RMSPROP_NUM_THREADS")
    if named is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not named.isascii() or not named.isdecimal() or int(named) < 1:
        raise ValueError(f"RMSPROP_NUM_THREADS={named!r} is not a whole number of at least 1")
    return int(named)
