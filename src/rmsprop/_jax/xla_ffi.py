"""The structures of XLA's typed FFI (`xla/ffi/api/c_api.h`) that a handler reads and writes.

XLA calls a handler with an `XLA_FFI_CallFrame`: a structure that points to an array of pointers to buffers, each a
structure with the address of its numbers. The names in XLA begin with `XLA_FFI_`.
"""

import ctypes
from typing import Any, Final

_word, _pointer, _int, _long = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


def _structure(name: str, **fields: Any) -> Any:
    """Return a structure of the interface; all but a span of bytes begin with their size."""
    head = {} if name == "ByteSpan" else {"struct_size": _word}
    return type(name, (ctypes.Structure,), {"_fields_": [*(head | fields).items()]})


# Structures that XLA extends end here with the last field that is read or written.
Version = _structure("Api_Version", extension_start=_pointer, major=_int, minor=_int)
Metadata = _structure("Metadata", api_version=Version, traits=ctypes.c_uint32)
Extension = _structure("Metadata_Extension", type=_int, next=_pointer, metadata=_pointer)
Api = _structure(
    "Api",
    extension_start=_pointer,
    api_version=Version,
    internal_api=_pointer,
    error_create=_pointer,
    error_get_message=_pointer,
    error_destroy=_pointer,
    others=_pointer * 8,
    schedule=_pointer,  # of XLA's pool of threads
    threads=_pointer,
)
NewError = _structure("Error_Create_Args", extension_start=_pointer, message=ctypes.c_char_p, code=_int)
#: Arguments, and results.
Buffers = _structure("Args", extension_start=_pointer, size=_long, types=_pointer, buffers=_pointer)
Buffer = _structure("Buffer", extension_start=_pointer, dtype=_int, data=_pointer, rank=_long, dims=_pointer)
Attributes = _structure(
    "Attrs", extension_start=_pointer, size=_long, types=_pointer, names=_pointer, values=ctypes.POINTER(_pointer)
)
Text = _structure("ByteSpan", start=_pointer, length=_word)
Frame = _structure(
    "CallFrame",
    extension_start=ctypes.POINTER(Extension),
    api=ctypes.POINTER(Api),
    context=_pointer,
    stage=_int,
    arguments=Buffers,
    results=Buffers,
    attributes=Attributes,
)

#: Types of numbers -> `XLA_FFI_DataType`.
DTYPES: Final = {"int32": 4, "int64": 5, "float16": 10, "float32": 11, "float64": 12, "bfloat16": 16}

#: The extension by which XLA asks a handler for its version.
METADATA: Final = 1

#: The major version of the interface that this follows. A minor version adds to the end of structures.
MAJOR: Final = 0

#: Codes of XLA_FFI_Error.
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL = 3, 8, 13
