"""Switches of the user: the argument `native`, and the environment variables for native steps and for threads."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

#: The environment variable that turns native steps off in the whole process, with the value 0.
SWITCH: Final = "RMSPROP_NATIVE"


def check_native(native: Any) -> bool | None:
    """Return the optimizers' argument `native`, or raise a TypeError: it is not True, False or None."""
    if native is not None and not isinstance(native, bool):
        raise TypeError(f"native={native!r} is not True, False or None")
    return native


def native_by_default() -> bool:
    """Whether the environment allows native steps; a ValueError if its value is neither 0 nor 1."""
    value = os.environ.get(SWITCH, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{SWITCH}={value!r} is neither 0 nor 1")
    return value == "1"


def against_native(native: bool | None) -> str:
    """Return why the user wants no native steps; "" if there is no reason. `native=None`: the environment decides."""
    if native is None:
        return "" if native_by_default() else f"{SWITCH}=0"
    return "" if native else "native=False"


def default_threads(of_framework: int | None = None) -> int:
    """Return the threads of a step.

    That is ``RMSPROP_NUM_THREADS``, taken as it is; else the framework's own number, if it has one, but not more than
    the processors that this process may use.
    """
    named = os.environ.get("RMSPROP_NUM_THREADS")
    if named is None:
        return processors() if of_framework is None else max(1, min(of_framework, processors()))
    if not named.isascii() or not named.isdecimal() or int(named) < 1:
        raise ValueError(f"RMSPROP_NUM_THREADS={named!r} is not a whole number of at least 1")
    return int(named)


def processors() -> int:
    """Return how many processors this process may use: those of its affinity, and what its control groups allow."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, allowed_by_groups()))


@cache
def allowed_by_groups(files: Path = Path("/")) -> int:
    """Return how many processors' time Linux's control groups allow, rounded up, as it was when this was first called.

    `files` is the root of the system.
    """
    allowed = sys.maxsize
    try:
        groups = (files / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return allowed
    for line in groups:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        is_old = "cpu" in controllers.split(",")
        if not is_old and controllers:
            continue
        top = files / "sys/fs/cgroup" / ("cpu" if is_old else "")
        group = top / path.strip("/")
        # A group is limited by those that hold it. In a container the path may be that of the system outside.
        for one in (group, *group.parents):
            if one == top or top in one.parents:
                allowed = min(allowed, _allowed_by(one, is_old))
    return allowed


def _allowed_by(group: Path, is_old: bool) -> int:
    try:
        if is_old:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        else:
            quota, period = (group / "cpu.max").read_text().split()
        return -(-int(quota) // int(period)) if int(quota) > 0 and int(period) > 0 else sys.maxsize
    except (OSError, ValueError):  # there is no such file, or "max"
        return sys.maxsize
