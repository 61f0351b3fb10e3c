"""XLA's call frames in compiled code: the addresses of arguments and results of a custom call.

A handler of XLA's typed FFI gets an `XLA_FFI_CallFrame` of `xla/ffi/api/c_api.h`: a structure that points to an array
of pointers to buffers, each a structure with the address of its numbers. A step has hundreds of buffers, and no Python
object for any of them: compiled code reads them by the offsets of the structures below.
"""

import ctypes
from typing import Final

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from rmsprop._core.cpu.cache import cached
from rmsprop._core.cpu.words import read

_word, _pointer, _int = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int


class Extension(ctypes.Structure):
    """`XLA_FFI_Metadata_Extension`: the head of all extensions, then the address of `Metadata`."""

    _fields_ = (("struct_size", _word), ("type", _int), ("next", _pointer), ("metadata", _pointer))


class Version(ctypes.Structure):
    """`XLA_FFI_Api_Version`."""

    _fields_ = (("struct_size", _word), ("extension_start", _pointer), ("major", _int), ("minor", _int))


class Metadata(ctypes.Structure):
    """`XLA_FFI_Metadata`, up to what a handler without state fills in."""

    _fields_ = (("struct_size", _word), ("api_version", Version), ("traits", ctypes.c_uint32))


class Api(ctypes.Structure):
    """`XLA_FFI_Api`, up to the first of its functions, which makes an error."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", _pointer), ("api_version", Version), ("internal_api", _pointer),
        ("error_create", _pointer),
    )  # fmt: skip


class NewError(ctypes.Structure):
    """`XLA_FFI_Error_Create_Args`."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", _pointer), ("message", ctypes.c_char_p), ("code", _int),
    )  # fmt: skip


class Buffers(ctypes.Structure):
    """`XLA_FFI_Args` and `XLA_FFI_Rets`, which are alike."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", _pointer), ("size", ctypes.c_int64), ("types", _pointer),
        ("buffers", _pointer),
    )  # fmt: skip


class Buffer(ctypes.Structure):
    """`XLA_FFI_Buffer`."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", _pointer), ("dtype", _int), ("data", _pointer),
        ("rank", ctypes.c_int64), ("dims", _pointer),
    )  # fmt: skip


class Attributes(ctypes.Structure):
    """`XLA_FFI_Attrs`."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", _pointer), ("size", ctypes.c_int64), ("types", _pointer),
        ("names", _pointer), ("values", ctypes.POINTER(_pointer)),
    )  # fmt: skip


class Text(ctypes.Structure):
    """`XLA_FFI_ByteSpan`: a text."""

    _fields_ = (("start", _pointer), ("length", _word))


class Frame(ctypes.Structure):
    """`XLA_FFI_CallFrame`."""

    _fields_ = (
        ("struct_size", _word), ("extension_start", ctypes.POINTER(Extension)), ("api", ctypes.POINTER(Api)),
        ("context", _pointer), ("stage", _int), ("arguments", Buffers), ("results", Buffers),
        ("attributes", Attributes),
    )  # fmt: skip


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
    """Read the addresses of a call's arguments and results, which must be those of the last arguments.

    Args:
        frame: address of the call frame, int.
        inputs: int64 array to be filled, an entry for each argument.
        outputs: int64 array to be filled, an entry for each result.
        kinds: int64 array, for each argument its type in the plan, a value of `DTYPES`.
        sizes: int64 array, for each argument its size in the plan.

    Returns:
        0, or one of `COUNT`, `PLACE`, `DTYPE` and `SIZE`; and the first argument that is wrong.
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
