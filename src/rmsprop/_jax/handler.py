"""A handler of XLA's typed FFI for native steps, in two stages.

When an executable is compiled or loaded, XLA calls `instantiate`, in Python: it reads the plan and finds the kernels.
When a step runs, XLA calls `rmsprop._jax.entry.handle`, which is compiled and does without the interpreter.
"""

import ctypes
from functools import cache
from typing import Final

from jax.ffi import pycapsule, register_ffi_target
from jaxlib import version

from rmsprop._core.cpu.kernels import live_forever
from rmsprop._core.fallback import Refused
from rmsprop._core.forks import compiling
from rmsprop._jax.steps import HANDLE, Steps
from rmsprop._jax.xla_ffi import (
    INTERNAL,
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    Api,
    Frame,
    NewError,
    Text,
)

#: The custom call's name.
NAME: Final = "rmsprop_step"

#: The attribute that holds the plan.
ATTRIBUTE: Final = "plan"

#: The first jaxlib whose XLA accepts the handler: 0.7 and 0.8 end the process while it is registered.
_JAXLIB: Final = (0, 9)

_CODES: Final[dict[type[BaseException], int]] = {
    ValueError: INVALID_ARGUMENT,
    TypeError: INVALID_ARGUMENT,
    MemoryError: RESOURCE_EXHAUSTED,
}

_ERROR_CREATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(NewError))


def steps() -> Steps:
    """Return the native steps of this process, which has one table of them whatever threads come first."""
    with compiling():
        return _steps()


@cache
def _steps() -> Steps:
    return Steps()


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)
def _instantiate(address: int) -> int | None:
    """Make the step of a call's plan, before the call is executed."""
    frame = Frame.from_address(address)
    try:
        if frame.extension_start:
            steps().has_pool = frame.api.contents.struct_size >= ctypes.sizeof(Api)
            return int(HANDLE(steps().address)(address)) or None  # it states the version of both stages
        if frame.attributes.size == 1:  # without a plan, the execution is refused
            text = Text.from_address(frame.attributes.values[0])
            steps().add(ctypes.string_at(text.start, text.length).decode())
    except BaseException as error:
        return _fail(frame, error)
    return None


def _fail(frame: Frame, error: BaseException) -> int | None:
    """Return an error of XLA, which is raised where the executable is compiled or loaded."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), INTERNAL)
    text = str(error) if code != INTERNAL else f"{type(error).__name__}: {error}"
    given = NewError(ctypes.sizeof(NewError), None, text.encode(), code)
    made: int | None = _ERROR_CREATE(frame.api.contents.error_create)(ctypes.byref(given))
    return made


def register() -> None:
    """Register the handler with XLA, which calls both stages for their versions at once.

    Raises:
        Refused: the installed jaxlib would end the process, or does not accept the handler.
    """
    if version.__version_info__ < _JAXLIB:
        raise Refused(f"jaxlib {version.__version__} is older than {'.'.join(map(str, _JAXLIB))}")
    instantiate = ctypes.cast(_instantiate, ctypes.c_void_p).value
    stages = {"instantiate": pycapsule(instantiate), "execute": pycapsule(steps().address)}
    try:
        register_ffi_target(NAME, stages, platform="cpu")
    except (AttributeError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise Refused(f"XLA does not take our handler: {error}") from error
    # XLA has the address as long as the process lives, also while the interpreter clears its modules.
    live_forever(_instantiate)
