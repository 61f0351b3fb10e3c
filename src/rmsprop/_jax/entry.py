"""The function that XLA calls for a step, compiled: it reads the call's frame, fills a copy of the run, and runs it.

The call carries its plan, a text that begins with a key. `rmsprop._jax.handler` has made a `Step` of each plan of this
process before XLA executes it, and has written the steps' addresses into a table by their keys. Every buffer's type and
size is compared with the plan before a number is written.
"""

import math
from typing import Any, Final

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from rmsprop._core.cpu.c_interface import own_word
from rmsprop._core.cpu.copies import TEMPLATE, borrow, execute, give_back
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import call, call_word, read, read_float, read_int, write, write_float
from rmsprop._core.tables import HEAD
from rmsprop._jax import xla_ffi
from rmsprop._jax.xla_ffi import DTYPES, INTERNAL, INVALID_ARGUMENT, RESOURCE_EXHAUSTED

#: The words of a step, after those of its `Template`: the table of operands, how many there are, how many at the end
#: are results as well, where the learning rate is in a copy, and error texts.
STEP: Final = (
    *TEMPLATE, "table", "operands", "results", "rate", "wrong_count", "wrong_place", "wrong_rate", "no_memory",
)  # fmt: skip

#: The words of an operand: XLA's number of its type, its size, its kind, the place in a copy, and error texts.
OPERAND: Final = ("dtype", "size", "kind", "to", "wrong_dtype", "wrong_size")

#: Kinds of operands: the address of numbers; a number, read as a float64; the number of steps done, an int64.
ADDRESS, FLOAT, WHOLE = 0, 1, 2

#: The words of the process's table: how many places, the texts for a call without a plan, with an unknown plan or with
#: an unknown extension, functions of C, and the version and sizes of structures that XLA must state. Then the places:
#: two words of a key, and the address of a step, 0 if empty.
PROCESS: Final = (
    "places", "no_plan", "unknown", "extension", "format", "malloc", "free", "major", "frame", "buffers", "attributes",
)  # fmt: skip
PLACE: Final = ("key", "more_key", "step")

_TABLE, _OPERANDS, _RESULTS, _RATE, _WRONG_COUNT, _WRONG_PLACE, _WRONG_RATE, _NO_MEMORY = range(
    len(TEMPLATE), len(STEP)
)
_DTYPE, _SIZE, _KIND, _TO, _WRONG_DTYPE, _WRONG_SIZE = range(len(OPERAND))
(
    _PLACES, _NO_PLAN, _UNKNOWN, _UNKNOWN_EXTENSION, _FORMAT, _MALLOC, _FREE, _MAJOR, _FRAME_BYTES, _BUFFERS_BYTES,
    _ATTRIBUTES_BYTES,
) = range(len(PROCESS))  # fmt: skip
_CALL = HEAD.index("call")
_PLACES_AT, _PLACE_BYTES, _OPERAND_BYTES = 8 * len(PROCESS), 8 * len(PLACE), 8 * len(OPERAND)

_FRAME, _BUFFERS, _BUFFER = xla_ffi.Frame, xla_ffi.Buffers, xla_ffi.Buffer
_ARGUMENTS, _RETURNED, _ATTRIBUTES = _FRAME.arguments.offset, _FRAME.results.offset, _FRAME.attributes.offset
_EXTENSION, _API = _FRAME.extension_start.offset, _FRAME.api.offset
_COUNT, _POINTERS, _VALUES = _BUFFERS.size.offset, _BUFFERS.buffers.offset, xla_ffi.Attributes.values.offset
_DATA, _TYPE, _RANK, _DIMS = (getattr(_BUFFER, name).offset for name in ("data", "dtype", "rank", "dims"))
_METADATA, _EXTENSION_TYPE = xla_ffi.Extension.metadata.offset, xla_ffi.Extension.type.offset
_VERSION, _API_VERSION = xla_ffi.Metadata.api_version.offset, xla_ffi.Api.api_version.offset
_MAJOR_AT, _MINOR_AT = xla_ffi.Version.major.offset, xla_ffi.Version.minor.offset
_TRAITS, _ERROR_CREATE = xla_ffi.Metadata.traits.offset, xla_ffi.Api.error_create.offset
_ERROR_BYTES, _MESSAGE, _CODE = 28, xla_ffi.NewError.message.offset, xla_ffi.NewError.code.offset
_TEXT, _LENGTH = xla_ffi.Text.start.offset, xla_ffi.Text.length.offset
_INT32: Final = DTYPES["int32"]

#: Characters of an error text at most, and of a plan's key.
_CHARACTERS: Final = 160
KEY_BYTES: Final = 16

_I32, _I64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()


def _int(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _I32.as_pointer())


@intrinsic
def _write_int(typing_context: Any, address: Any, value: Any) -> Any:
    """Write 32 bits to an address."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        builder.store(builder.trunc(given[1], _I32), _int(builder, given[0]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _read_number(typing_context: Any, address: Any, dtype: Any) -> Any:
    """Read a number of one of XLA's types as a float64; whole numbers as far as a float64 holds them."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = _DOUBLE(0.0)
        readers = {
            "float32": (ir.FloatType(), builder.fpext), "float64": (_DOUBLE, lambda value, _: value),
            "int32": (_I32, builder.sitofp), "int64": (_I64, builder.sitofp),
        }  # fmt: skip
        result = builder.alloca(_DOUBLE)
        builder.store(found, result)
        for name, (kind, widen) in readers.items():
            with builder.if_then(builder.icmp_signed("==", given[1], _I64(DTYPES[name]))):
                value = builder.load(builder.inttoptr(given[0], kind.as_pointer()), align=1)
                builder.store(widen(value, _DOUBLE), result)
        return builder.load(result)

    return types.float64(types.int64, types.int64), generate


@intrinsic
def _print(typing_context: Any, function: Any, to: Any, size: Any, text: Any, number: Any) -> Any:
    """Call the C function `snprintf` with one float64."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        function, to, size, text, number = given
        kind = ir.FunctionType(_I32, [_I64, _I64, _I64], var_arg=True)
        builder.call(builder.inttoptr(function, kind.as_pointer()), [to, size, text, number])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, types.float64), generate


@jit
def _fail(frame, process, code, text, number):
    """Return an error of XLA: a text, in which `number` takes the place of a format."""
    memory = call_word(read(process, _MALLOC), _CHARACTERS + 32)
    if memory == 0:
        return -1
    message = memory + 32
    _print(read(process, _FORMAT), message, _CHARACTERS, text, number)
    write(memory, 0, _ERROR_BYTES)
    write(memory, 1, 0)
    write(memory + _MESSAGE, 0, message)
    _write_int(memory + _CODE, code)
    error = call_word(read(read(frame + _API, 0) + _ERROR_CREATE, 0), memory)
    call(read(process, _FREE), memory)
    return error


@jit
def _state_version(frame, process, metadata):
    """Write the version of XLA's interface that the handler follows; -1 if structures have other sizes."""
    version, buffers = read(frame + _API, 0) + _API_VERSION, read(process, _BUFFERS_BYTES)
    known = (
        read_int(version + _MAJOR_AT) == read(process, _MAJOR)
        and read(frame, 0) >= read(process, _FRAME_BYTES)
        and read(frame + _ARGUMENTS, 0) == buffers
        and read(frame + _RETURNED, 0) == buffers
        and read(frame + _ATTRIBUTES, 0) == read(process, _ATTRIBUTES_BYTES)
    )
    _write_int(metadata + _VERSION + _MAJOR_AT, read(process, _MAJOR) if known else -1)
    _write_int(metadata + _VERSION + _MINOR_AT, read_int(version + _MINOR_AT) if known else -1)
    _write_int(metadata + _TRAITS, 0)


@jit
def _find(process, text):
    """Return the address of the step whose plan begins with the same key as a text; 0 if there is none."""
    key, more = read(text, 0), read(text, 1)
    places = read(process, _PLACES)
    number = key & (places - 1)
    while True:
        place = process + _PLACES_AT + _PLACE_BYTES * number
        step = read(place, 2)
        if step == 0 or (read(place, 0) == key and read(place, 1) == more):
            return step
        number = (number + 1) & (places - 1)


@jit
def _wrong_buffer(buffer, operand):
    """Return the error text for a buffer of another type or size than the plan says; 0 if it is right."""
    if read_int(buffer + _TYPE) != read(operand, _DTYPE):
        return read(operand, _WRONG_DTYPE)
    size, dims, axis = 1, read(buffer + _DIMS, 0), read(buffer + _RANK, 0) - 1
    while axis >= 0:
        size *= read(dims, axis)
        axis -= 1
    return 0 if size == read(operand, _SIZE) else read(operand, _WRONG_SIZE)


@jit
def _fill(frame, step, head):
    """Write what a call brings into a copy; return an error text and its code, 0 and 0 if nothing is wrong."""
    operands, results = read(step, _OPERANDS), read(step, _RESULTS)
    if read(frame + _ARGUMENTS + _COUNT, 0) != operands or read(frame + _RETURNED + _COUNT, 0) != results:
        return read(step, _WRONG_COUNT), INVALID_ARGUMENT
    arguments, returned = read(frame + _ARGUMENTS + _POINTERS, 0), read(frame + _RETURNED + _POINTERS, 0)
    operand, number = read(step, _TABLE), 0
    while number < operands:
        buffer = read(arguments, number)
        wrong = _wrong_buffer(buffer, operand)
        address, kind, to = read(buffer + _DATA, 0), read(operand, _KIND), head + read(operand, _TO)
        if wrong == 0 and number >= operands - results:
            result = read(returned, number - operands + results)
            wrong = _wrong_buffer(result, operand)
            if wrong == 0 and read(result + _DATA, 0) != address:
                return read(step, _WRONG_PLACE), INTERNAL
        if wrong != 0:
            return wrong, INVALID_ARGUMENT
        if kind == ADDRESS:
            write(to, 0, address)
        elif kind == FLOAT:
            write_float(to, 0, _read_number(address, read(operand, _DTYPE)))
        elif read(operand, _DTYPE) == _INT32:
            write(to, 0, read_int(address))
        else:
            write(to, 0, read(address, 0))
        operand += _OPERAND_BYTES
        number += 1
    return 0, 0


@jit
def _step(frame, process, step):
    head = borrow(step)
    if head == 0:
        return _fail(frame, process, RESOURCE_EXHAUSTED, read(step, _NO_MEMORY), 0.0)
    text, code = _fill(frame, step, head)
    rate = read_float(head + read(step, _RATE), 0)
    if text == 0 and not 0.0 <= rate < math.inf:
        text, code = read(step, _WRONG_RATE), INVALID_ARGUMENT
    error = 0
    if text == 0:
        write(head, _CALL, frame)
        execute(step, head)
    give_back(step, head)
    if text != 0:
        error = _fail(frame, process, code, text, rate)
    return error


@jit
def _run(frame, process, step):
    # XLA's threads flush subnormal numbers, also those among the operands.
    mode = compute_exactly()
    error = _step(frame, process, step)
    restore(mode)
    return error


def handle(frame):
    """Do the step of a call frame, and return an XLA_FFI_Error, or 0.

    The address of the process's table plus 1 in place of a frame is written down for the calls that follow.
    """
    cell = own_word()
    if frame & 1:
        write(cell, 0, frame - 1)
        return 0
    extension, process = read(frame + _EXTENSION, 0), read(cell, 0)
    if extension != 0:
        if read_int(extension + _EXTENSION_TYPE) != xla_ffi.METADATA:
            return _fail(frame, process, INTERNAL, read(process, _UNKNOWN_EXTENSION), 0.0)
        _state_version(frame, process, read(extension + _METADATA, 0))
        return 0
    if read(frame + _ATTRIBUTES + _COUNT, 0) != 1:
        return _fail(frame, process, INVALID_ARGUMENT, read(process, _NO_PLAN), 0.0)
    text = read(read(frame + _ATTRIBUTES + _VALUES, 0), 0)
    step = _find(process, read(text + _TEXT, 0)) if read(text + _LENGTH, 0) >= KEY_BYTES else 0
    if step == 0:
        return _fail(frame, process, INVALID_ARGUMENT, read(process, _UNKNOWN), 0.0)
    return _run(frame, process, step)
