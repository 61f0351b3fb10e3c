"""Native steps that a process cannot have: the reason, and the warning.

What native steps need of Numba, of JAX and of TensorFlow may change or be missing. It is tried before the first step
that needs it; the answer holds for the process, whose steps are then traced or plain.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final, final

from rmsprop._core.forks import loading
from rmsprop._core.switches import SWITCH
from rmsprop._core.warnings import warn

#: Acquired by the first who warns, and never released.
_warned: Final = threading.Lock()


@final
class Refused(Exception):
    """Native steps need what this process does not have; `str` says what."""


def attempt(what: str, need: Callable[[], object]) -> str:
    """Try what native steps need, and return why it fails; "" if it does not.

    Args:
        what: the subject of the answer.
        need: raises on failure. Any error but a lack of memory is an answer, as changes of others may fail in any way.
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
    """Load the compiled kernels, and return why that fails; "" if it does not."""
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


def warn_once(reason: str) -> str:
    """Warn, once in a process, that there are no native steps, and return the reason; "" if there are."""
    if reason and _warned.acquire(blocking=False):
        warn(
            f"rmsprop steps without its compiled kernels in this process, which may take many times as long: {reason}. "
            f"{SWITCH}=0 in the environment asks for such steps, and nothing is said then"
        )
    return reason
