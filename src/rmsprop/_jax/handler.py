"""The function that XLA calls for a step: a handler of its typed FFI (`xla/ffi/api/c_api.h`), written in Python.

It takes a microsecond more than a compiled one. The call carries its plan, a text, as an attribute.
"""

import ctypes
import threading
from typing import Final

from jax.ffi import pycapsule, register_ffi_target
from jaxlib import version

from rmsprop._core.fallback import Refused
from rmsprop._jax.exit import wait_at_exit
from rmsprop._jax.frames import Attributes, Buffers, Frame, Metadata, NewError, Text
from rmsprop._jax.plan import runners

#: The custom call's name.
NAME: Final = "rmsprop_step"

#: The attribute that holds the plan.
ATTRIBUTE: Final = "plan"

#: The major version of the interface that this follows. A minor version adds to the end of structures.
_MAJOR: Final = 0

_METADATA: Final = 1

#: The first jaxlib whose XLA accepts the handler: 0.7 and 0.8 end the process while it is registered.
_JAXLIB: Final = (0, 9)

#: Codes of XLA_FFI_Error.
_CODES: Final[dict[type[BaseException], int]] = {ValueError: 3, TypeError: 3, MemoryError: 8}
_INTERNAL: Final = 13

_ERROR_CREATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(NewError))


def _call(address: int) -> int | None:
    frame = Frame.from_address(address)
    try:
        if frame.extension_start:
            _state_version(frame)
        else:
            _stay_attached()
            if frame.attributes.size != 1:
                raise ValueError(
                    f"{NAME} was called without a plan, which the steps of rmsprop.jax have as {ATTRIBUTE!r}"
                )
            text = Text.from_address(frame.attributes.values[0])
            runners(ctypes.string_at(text.start, text.length)).run(address)
    except BaseException as error:
        return _fail(frame, error)
    return None


_handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(_call)


def _state_version(frame: Frame) -> None:
    """Write the version of XLA's interface that the handler follows; -1 if structures have other sizes."""
    extension = frame.extension_start.contents
    if extension.type != _METADATA:
        raise RuntimeError(f"XLA's FFI has an extension of type {extension.type}, which this does not know")
    metadata = Metadata.from_address(extension.metadata)
    version = frame.api.contents.api_version
    known = (
        version.major == _MAJOR
        and frame.struct_size >= ctypes.sizeof(Frame)
        and frame.arguments.struct_size == frame.results.struct_size == ctypes.sizeof(Buffers)
        and frame.attributes.struct_size == ctypes.sizeof(Attributes)
    )
    metadata.api_version.major, metadata.api_version.minor = (_MAJOR, version.minor) if known else (-1, -1)
    metadata.traits = 0


def _fail(frame: Frame, error: BaseException) -> int | None:
    """Return an error of XLA, which is raised where the results are waited for."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), _INTERNAL)
    text = str(error) if code != _INTERNAL else f"{type(error).__name__}: {error}"
    given = NewError(ctypes.sizeof(NewError), None, text.encode(), code)
    made: int | None = _ERROR_CREATE(frame.api.contents.error_create)(ctypes.byref(given))
    return made


_per_thread = threading.local()


def _stay_attached() -> None:
    """Attach this thread of XLA to Python for good.

    Python would make a thread state at every call and drop it after, which takes longer than a small call itself.
    """
    if not hasattr(_per_thread, "attached"):
        ctypes.pythonapi.PyGILState_Ensure()  # which is never released
        _per_thread.attached = True


def register() -> None:
    """Register the handler with XLA, which calls it for its version at once.

    Raises:
        Refused: the installed jaxlib would end the process, or does not accept the handler.
    """
    if version.__version_info__ < _JAXLIB:
        raise Refused(f"jaxlib {version.__version__} is older than {'.'.join(map(str, _JAXLIB))}")
    try:
        address = ctypes.cast(_handler, ctypes.c_void_p).value
        register_ffi_target(NAME, pycapsule(address), platform="cpu")
    except (AttributeError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise Refused(f"XLA does not take our handler: {error}") from error
    # XLA has the address as long as the process lives, also while the interpreter clears its modules.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_handler))
    wait_at_exit()
