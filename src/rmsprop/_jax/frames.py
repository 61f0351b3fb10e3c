"""XLA's call frames in compiled code: the addresses of arguments and results of a custom call.

A handler of XLA's typed FFI gets an `XLA_FFI_CallFrame` of `xla/ffi/api/c_api.h`: a structure that points to an array
of pointers to buffers, each a structure with the address of its numbers. A step has hundreds of buffers, and no Python
object for any of them: compiled code reads them by the offsets of the structures below, whose names in XLA begin with
`XLA_FFI_`.
"""

import ctypes
from typing import Any, Final

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from rmsprop._core.cpu.cache import cached
from rmsprop._core.cpu.words import read

_word, _pointer, _int, _long = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


def _structure(name: str, **fields: Any) -> Any:
    """Return a structure of the interface; all but a span of bytes begin with their size."""
    head = {} if name == "ByteSpan" else {"struct_size": _word}
    return type(name, (ctypes.Structure,), {"_fields_": [*(head | fields).items()]})


# Structures that XLA extends end here with the last field that is read or written.
Version = _structure("Api_Version", extension_start=_pointer, major=_int, minor=_int)
Metadata = _structure("Metadata", api_version=Version, traits=ctypes.c_uint32)
Extension = _structure("Metadata_Extension", type=_int, next=_pointer, metadata=_pointer)
Api = _structure("Api", extension_start=_pointer, api_version=Version, internal_api=_pointer, error_create=_pointer)
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

_ARGUMENTS, _RESULTS = Frame.arguments.offset, Frame.results.offset
_SIZE, _BUFFERS = Buffers.size.offset, Buffers.buffers.offset
_DATA, _DTYPE, _RANK, _DIMS = (getattr(Buffer, name).offset for name in ("data", "dtype", "rank", "dims"))

#: Types of numbers -> `XLA_FFI_DataType`.
DTYPES: Final = {"int32": 4, "int64": 5, "float16": 10, "float32": 11, "float64": 12, "bfloat16": 16}

#: Results of `read_frame`: another number of buffers; results that are not where arguments are; a buffer of another
#: type; a buffer of another size.
COUNT, PLACE, DTYPE, SIZE = 1, 2, 3, 4

_jit = njit(error_model="numpy", nogil=True)


@intrinsic
def _read_int(typing_context, address):
    """Read the 32 bits at an address."""

    def generate(context, builder, signature, arguments):
        value = builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
        return builder.sext(value, ir.IntType(64))

    return types.int64(types.int64), generate


@_jit
def _read_buffers(buffers, addresses, kinds, sizes):
    if read(buffers + _SIZE, 0) != addresses.size:
        return COUNT, 0
    pointers = read(buffers + _BUFFERS, 0)
    for i in range(addresses.size):
        buffer = read(pointers + 8 * i, 0)
        if _read_int(buffer + _DTYPE) != kinds[i]:
            return DTYPE, i
        size, dims = 1, read(buffer + _DIMS, 0)
        for axis in range(read(buffer + _RANK, 0)):
            size *= read(dims + 8 * axis, 0)
        if size != sizes[i]:
            return SIZE, i
        addresses[i] = read(buffer + _DATA, 0)
    return 0, 0


@cached
@_jit
def read_frame(frame, inputs, outputs, kinds, sizes):
    """Fill `inputs` and `outputs` with the addresses of a call's arguments and results.

    The results must be in the memory of the last arguments. `kinds` and `sizes` are the types, as `DTYPES`, and the
    sizes of the arguments in the plan. Returns 0, or `COUNT`, `PLACE`, `DTYPE` or `SIZE`; and the first wrong argument.
    """
    first = inputs.size - outputs.size
    wrong, place = _read_buffers(frame + _ARGUMENTS, inputs, kinds, sizes)
    if wrong:
        return wrong, place
    wrong, place = _read_buffers(frame + _RESULTS, outputs, kinds[first:], sizes[first:])
    if wrong:
        return wrong, first + place
    for i in range(outputs.size):
        if inputs[first + i] != outputs[i]:
            return PLACE, first + i
    return 0, 0
