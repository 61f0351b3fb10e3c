"""64-bit words at addresses, in compiled code: read and written, shared by threads, and called as functions.

Where a word's number or a scalar's column is None, reading it gives None: an option that is off costs nothing, which is
decided while compiling.
"""

from typing import Any, Final

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: What compiles functions that others are made of: no Python calls them, and nothing of theirs is counted. Divisions by
#: zero are numbers, and there is no fast-math.
_OPTIONS: Final[dict[str, Any]] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
jit: Final[Any] = numba.njit(error_model="numpy", **_OPTIONS)

#: The same for a function that is called in one place or two: it becomes a part of the one that calls it before that is
#: compiled. A function of its own takes some 40 milliseconds to compile, and is optimised again in each that it is in.
part: Final[Any] = numba.njit(error_model="numpy", inline="always", **_OPTIONS)

_I32, _I64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()


def _place(builder: Any, arguments: Any, kind: Any) -> Any:
    """Give a pointer to a word, of an address and the word's number."""
    address, word = arguments
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [word])


def nothing(*arguments: Any) -> Any:
    """Give None, whatever the arguments: what an intrinsic does of which one is None."""
    return types.none(*arguments), lambda context, builder, signature, values: context.get_dummy_value()


@intrinsic
def read(typing_context: Any, address: Any, word: Any) -> Any:
    """Read word number `word` behind an address."""
    if word is types.none:
        return nothing(address, word)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, arguments, _I64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def write(typing_context: Any, address: Any, word: Any, value: Any) -> Any:
    """Write word number `word` behind an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(builder, arguments[:2], _I64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def read_float(typing_context: Any, address: Any, word: Any) -> Any:
    """Read a float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, arguments, _DOUBLE))

    return types.float64(types.int64, types.int64), generate


@intrinsic
def read_whole(typing_context: Any, address: Any, word: Any) -> Any:
    """Read a float64 as a whole number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptosi(builder.load(_place(builder, arguments, _DOUBLE)), _I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def less(typing_context: Any, this: Any, other: Any) -> Any:
    """Give the lesser of two whole numbers; Numba's `min` takes long to compile."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *arguments), *arguments)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def greater(typing_context: Any, this: Any, other: Any) -> Any:
    """Give the greater of two whole numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.icmp_signed(">", *arguments), *arguments)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def write_float(typing_context: Any, address: Any, word: Any, value: Any) -> Any:
    """Write a float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(builder, arguments[:2], _DOUBLE))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


@intrinsic
def read_column(typing_context: Any, where: Any, column: Any, stride: Any) -> Any:
    """Read a tensor's word in a column of WHERE; None where `column` is.

    Args:
        where: address of the tensor's word in the first column.
        column: number of the column.
        stride: words in a column.
    """
    if column is types.none:
        return nothing(where, column, stride)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where, column, stride = arguments
        return builder.load(_place(builder, (where, builder.mul(column, stride)), _I64))

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def only(typing_context: Any, column: Any, number: Any) -> Any:
    """Give a number; None where `column` is."""
    if column is types.none:
        return nothing(column, number)
    return types.int64(column, types.int64), lambda context, builder, signature, arguments: arguments[1]


@intrinsic
def read_scalar(typing_context: Any, address: Any, word: Any, dtype: Any) -> Any:
    """Read a float64 and round it once to a type of numbers; None where `word` is."""
    if word is types.none:
        return nothing(address, word, dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_place(builder, arguments[:2], _DOUBLE))
        target = context.get_value_type(dtype.dtype)
        return value if value.type == target else builder.fptrunc(value, target)

    return dtype.dtype(types.int64, types.int64, dtype), generate


@intrinsic
def read_flag(typing_context: Any, address: Any, word: Any) -> Any:
    """Read whether a float64 is not zero; None where `word` is."""
    if word is types.none:
        return nothing(address, word)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_place(builder, arguments, _DOUBLE))
        return builder.fcmp_unordered("!=", value, _DOUBLE(0.0))

    return types.boolean(types.int64, types.int64), generate


@intrinsic
def add_shared(typing_context: Any, address: Any, number: Any) -> Any:
    """Add to a word that threads share, and give what was there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def exchange_shared(typing_context: Any, address: Any, number: Any) -> Any:
    """Write a word that threads share, and give what was there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("xchg", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def replace_shared(typing_context: Any, address: Any, expected: Any, number: Any) -> Any:
    """Write a word that threads share if it is what was expected, and give whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        found = builder.cmpxchg(place, arguments[1], arguments[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def read_shared(typing_context: Any, address: Any) -> Any:
    """Read a word that threads share."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _I64.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def write_shared(typing_context: Any, address: Any, number: Any) -> Any:
    """Write a word that threads share."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        builder.store_atomic(arguments[1], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def call(typing_context: Any, function: Any, argument: Any) -> Any:
    """Call a function at an address that takes one int64 and returns nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def ask(typing_context: Any, function: Any, subject: Any, answer: Any) -> Any:
    """Call a C function with two words, of which the second says where its answer goes; give its status."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I64, _I64])
        status = builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), list(arguments[1:]))
        return builder.sext(status, _I64)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def call_system(typing_context: Any, function: Any, handle: Any, number: Any) -> Any:
    """Call a C function at an address with two words and a zero; one that takes fewer does not see the others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I64, _I64, _I64])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [*arguments[1:], _I64(0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
