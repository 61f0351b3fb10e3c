"""Native steps that a process cannot have: why, and the warning that says so.

What they need of Numba, of JAX and of TensorFlow may change or be missing. It is tried when there is a first step for
it; the answer holds for the process, and its steps go by the framework's own operations, or by plain NumPy.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final

from rmsprop._core.forks import loading
from rmsprop._core.switches import SWITCH
from rmsprop._core.warnings import warn

#: Taken by the first who tells, and never given back.
_told: Final = threading.Lock()


class Refused(Exception):
    """What native steps need is not to be had; `str` says what."""


def attempt(what: str, need: Callable[[], object]) -> str:
    """Try what native steps need, and say why it cannot be had; "" if it can.

    Args:
        what: whose it is, for the answer.
        need: raises where it cannot be had. How something fails that others have changed is not known before: any
            error but a lack of memory is an answer, which the user is told.
    """
    try:
        need()
    except MemoryError:
        raise
    except Refused as error:
        return str(error)
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"
    return ""


def kernels() -> str:
    """Load the compiled kernels, and say why they cannot be had; "" if they can."""
    # Numba's own switch, for debuggers and coverage, leaves nothing that could run a kernel.
    switch = os.environ.get("NUMBA_DISABLE_JIT", "0")
    if switch not in ("", "0"):
        return f"NUMBA_DISABLE_JIT={switch} keeps Numba from compiling"
    return _numba()


@cache
def _numba() -> str:
    def load() -> None:
        with loading():
            import_module("rmsprop._core.cpu.helpers")
            if import_module("numba").config.DISABLE_JIT:
                raise Refused("numba.config.DISABLE_JIT keeps Numba from compiling")

    return attempt("Numba cannot be loaded", load)


def told(reason: str) -> str:
    """Tell whoever did not ask for it, once in a process, why there are no native steps, and give the reason.

    Args:
        reason: "" if there are.

    Warns:
        UserWarning: there are none, and nobody has been told.
    """
    if reason and _told.acquire(blocking=False):
        warn(
            f"rmsprop steps without its compiled kernels in this process, which may take many times as long: {reason}. "
            f"{SWITCH}=0 in the environment asks for such steps, and nothing is said then"
        )
    return reason
