"""TensorFlow's C interface for operations and kernels (`tensorflow/c/ops.h`, `tensorflow/c/kernels.h`)."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from rmsprop._core.fallback import Refused

_pointer, _text = ctypes.c_void_p, ctypes.c_char_p


def check(status: int) -> None:
    """Raise `Refused` if a TF_Status holds an error."""
    if functions()["TF_GetCode"](status):
        raise Refused(f"TensorFlow does not take our operation: {functions()['TF_Message'](status).decode()}")


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
    """Return the functions that register by name; AttributeError if one is missing."""
    signatures: dict[str, tuple[Any, ...]] = {
        "TF_NewStatus": (_pointer,),
        "TF_GetCode": (ctypes.c_int, _pointer),
        "TF_Message": (_text, _pointer),
        "TF_NewOpDefinitionBuilder": (_pointer, _text),
        "TF_OpDefinitionBuilderAddAttr": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddInput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddOutput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderSetIsStateful": (None, _pointer, ctypes.c_bool),
        "TF_RegisterOpDefinition": (None, _pointer, _pointer),
        "TF_NewKernelBuilder": (_pointer, _text, _text, _pointer, _pointer, _pointer),
        "TF_RegisterKernelBuilder": (None, _text, _pointer, _pointer),
    }
    found = {}
    for name, (result, *arguments) in signatures.items():
        found[name] = getattr(library(), name)
        found[name].restype, found[name].argtypes = result, arguments
    return found
