"""TensorFlow's C interface for operations and kernels (`tensorflow/c/ops.h`, `tensorflow/c/kernels.h`)."""

import ctypes
import threading
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from rmsprop._core.fallback import Refused

_pointer, _text = ctypes.c_void_p, ctypes.c_char_p

#: The C functions that make a kernel, and run it.
CREATE = ctypes.CFUNCTYPE(_pointer, _pointer)
COMPUTE = ctypes.CFUNCTYPE(None, _pointer, _pointer)


def check(code: int) -> None:
    """Raise `Refused` if a TF_Status holds an error."""
    if functions()["TF_GetCode"](code):
        raise Refused(f"TensorFlow does not take our operation: {functions()['TF_Message'](code).decode()}")


_per_thread = threading.local()


def status() -> int:
    """Return this thread's TF_Status."""
    if not hasattr(_per_thread, "status"):
        _per_thread.status = functions()["TF_NewStatus"]()
        # Python would make and drop a state for a thread of TensorFlow's at every call, which takes longer than a small
        # step. One more entry, which is never left, keeps the state.
        ctypes.pythonapi.PyGILState_Ensure()
    found: int = _per_thread.status
    return found


@cache
def library() -> ctypes.CDLL:
    """Return the library that has the interface; OSError if there is none."""
    folder = Path(tf.sysconfig.get_lib())
    found = sorted(folder.glob("libtensorflow_framework*"))
    if not found:
        raise OSError(f"there is no libtensorflow_framework in {folder}")
    return ctypes.CDLL(str(found[0]))


@cache
def functions() -> dict[str, Any]:
    """Return the functions by name; AttributeError if one is missing."""
    signatures: dict[str, tuple[Any, ...]] = {
        "TF_NewStatus": (_pointer,),
        "TF_DeleteStatus": (None, _pointer),
        "TF_SetStatus": (None, _pointer, ctypes.c_int, _text),
        "TF_GetCode": (ctypes.c_int, _pointer),
        "TF_Message": (_text, _pointer),
        "TF_NewOpDefinitionBuilder": (_pointer, _text),
        "TF_OpDefinitionBuilderAddAttr": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddInput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddOutput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderSetIsStateful": (None, _pointer, ctypes.c_bool),
        "TF_RegisterOpDefinition": (None, _pointer, _pointer),
        "TF_NewKernelBuilder": (_pointer, _text, _text, CREATE, COMPUTE, _pointer),
        "TF_RegisterKernelBuilder": (None, _text, _pointer, _pointer),
        "TF_OpKernelConstruction_GetAttrInt64": (None, _pointer, _text, ctypes.POINTER(ctypes.c_int64), _pointer),
        "TF_OpKernelContext_Failure": (None, _pointer, _pointer),
    }
    found = {}
    for name, (result, *arguments) in signatures.items():
        found[name] = getattr(library(), name)
        found[name].restype, found[name].argtypes = result, arguments
    return found
