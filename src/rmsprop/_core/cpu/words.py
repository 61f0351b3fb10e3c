"""64-bit words at addresses, in compiled code: read and written, shared by threads, and called as functions.

Where a word's number or a scalar's column is None, reading it returns None: an option that is off costs nothing, which
is decided while compiling.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_I32, _I64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_POSITIONAL: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD
_WORD, _FLOAT, _VOID = types.int64, types.float64, types.void


def place(builder: Any, address: Any, word: Any, kind: Any = _I64) -> Any:
    """Return a pointer to word number `word` behind an address."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [word])


def nothing(*arguments: Any) -> Any:
    """Return what an intrinsic does whose result is None, whatever the arguments."""
    return types.none(*arguments), lambda context, builder, signature, values: context.get_dummy_value()


def _operation(name: str, signature: Any, emit: Callable[..., Any], *, optional: bool = False) -> Any:
    """Make an intrinsic: `emit` writes the code, from a builder and LLVM's values; optional: None where a word is."""

    def define(typing_context: Any, *given: Any) -> Any:
        if optional and given[1] is types.none:
            return nothing(*given)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = emit(builder, *arguments)
            return context.get_dummy_value() if signature.return_type is _VOID else found

        return signature, generate

    names = ("typing_context", *(f"word{number}" for number in range(len(signature.args))))
    define.__name__ = define.__qualname__ = name
    define.__signature__ = inspect.Signature([inspect.Parameter(one, _POSITIONAL) for one in names])  # type: ignore[attr-defined]
    return intrinsic(define)


def _shared(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _I64.as_pointer())


def _call(builder: Any, result: Any, function: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [_I64] * len(arguments))
    return builder.call(builder.inttoptr(function, kind.as_pointer()), list(arguments))


#: read(address, word) -> int64, and write(address, word, value).
read = _operation("read", _WORD(_WORD, _WORD), lambda b, at, word: b.load(place(b, at, word)), optional=True)
write = _operation("write", _VOID(_WORD, _WORD, _WORD), lambda b, at, word, new: b.store(new, place(b, at, word)))

#: read_float(address, word) -> float64, write_float(address, word, value), and read_whole, a float64 as an int64.
read_float = _operation("read_float", _FLOAT(_WORD, _WORD), lambda b, at, word: b.load(place(b, at, word, _DOUBLE)))
write_float = _operation(
    "write_float", _VOID(_WORD, _WORD, _FLOAT), lambda b, at, word, new: b.store(new, place(b, at, word, _DOUBLE))
)
read_whole = _operation(
    "read_whole", _WORD(_WORD, _WORD), lambda b, at, word: b.fptosi(b.load(place(b, at, word, _DOUBLE)), _I64)
)

#: read_int(address) -> int64, of 32 bits; and what a C function has returned as an `int`, of whose word the other half
#: may hold anything.
read_int = _operation("read_int", _WORD(_WORD), lambda b, at: b.sext(b.load(place(b, at, _I64(0), _I32)), _I64))
as_int = _operation("as_int", _WORD(_WORD), lambda b, word: b.sext(b.trunc(word, _I32), _I64))

#: The lesser and the greater of two int64; Numba's `min` takes long to compile.
less = _operation("less", _WORD(_WORD, _WORD), lambda b, *two: b.select(b.icmp_signed("<", *two), *two))
greater = _operation("greater", _WORD(_WORD, _WORD), lambda b, *two: b.select(b.icmp_signed(">", *two), *two))

#: Read and write a word that threads share.
read_shared = _operation("read_shared", _WORD(_WORD), lambda b, at: b.load_atomic(_shared(b, at), "seq_cst", 8))
write_shared = _operation(
    "write_shared", _VOID(_WORD, _WORD), lambda b, at, new: b.store_atomic(new, _shared(b, at), "seq_cst", 8)
)

#: Add to a word that threads share, or write it; both return the word as it was.
add_shared = _operation(
    "add_shared", _WORD(_WORD, _WORD), lambda b, at, new: b.atomic_rmw("add", _shared(b, at), new, "seq_cst")
)
exchange_shared = _operation(
    "exchange_shared", _WORD(_WORD, _WORD), lambda b, at, new: b.atomic_rmw("xchg", _shared(b, at), new, "seq_cst")
)

#: replace_shared(address, expected, new): write the word if it is the expected one, and return whether it was.
replace_shared = _operation(
    "replace_shared",
    types.boolean(_WORD, _WORD, _WORD),
    lambda b, at, old, new: b.extract_value(b.cmpxchg(_shared(b, at), old, new, "seq_cst", "seq_cst"), 1),
)

#: call(function, argument): call a function of one int64 that returns nothing, by its address.
call = _operation("call", _VOID(_WORD, _WORD), lambda b, *function: _call(b, ir.VoidType(), *function))

#: call_word(function, argument): call a function of one int64 by its address, and return the int64 that it returns.
call_word = _operation("call_word", _WORD(_WORD, _WORD), lambda b, *function: _call(b, _I64, *function))

#: call_with_three(function, first, second, third): call a function of three int64 by its address, and return its int64.
call_with_three = _operation(
    "call_with_three", _WORD(_WORD, _WORD, _WORD, _WORD), lambda b, *function: _call(b, _I64, *function)
)

#: call_with_four(function, first, second, third, fourth): call a C function with four words that returns nothing.
call_with_four = _operation(
    "call_with_four", _VOID(_WORD, _WORD, _WORD, _WORD, _WORD), lambda b, *function: _call(b, ir.VoidType(), *function)
)

#: invoke(table, word, first, second, third): call a C function, whose address is a word of a table, with three words;
#: and call_with_seven, by its address. A function with fewer parameters does not see the others.
invoke = _operation(
    "invoke", _WORD(*[_WORD] * 5), lambda b, table, word, *given: _call(b, _I64, b.load(place(b, table, word)), *given)
)
call_with_seven = _operation("call_with_seven", _WORD(*[_WORD] * 8), lambda b, *function: _call(b, _I64, *function))

#: nanoseconds(function): call a C function of nothing that returns seconds, a double.
nanoseconds = _operation(
    "nanoseconds", _WORD(_WORD), lambda b, function: b.fptosi(b.fmul(_call(b, _DOUBLE, function), _DOUBLE(1e9)), _I64)
)

#: ask(function, subject, answer): call a C function that writes its answer to an address, and return its status.
ask = _operation("ask", _WORD(_WORD, _WORD, _WORD), lambda b, *function: b.sext(_call(b, _I32, *function), _I64))

#: call_system(function, handle, number): call a C function with two words and a zero; one with fewer parameters does
#: not see the others.
call_system = _operation(
    "call_system", _VOID(_WORD, _WORD, _WORD), lambda b, *function: _call(b, _I32, *function, _I64(0))
)


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
        return builder.load(place(builder, where, builder.mul(column, stride)))

    return _WORD(_WORD, _WORD, _WORD), generate


@intrinsic
def only(typing_context: Any, column: Any, number: Any) -> Any:
    """Return a number; None where `column` is."""
    if column is types.none:
        return nothing(column, number)
    return _WORD(column, _WORD), lambda context, builder, signature, arguments: arguments[1]


@intrinsic
def read_scalar(typing_context: Any, address: Any, word: Any, dtype: Any) -> Any:
    """Read a float64 and round it once to a type of numbers; None where `word` is."""
    if word is types.none:
        return nothing(address, word, dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(place(builder, arguments[0], arguments[1], _DOUBLE))
        target = context.get_value_type(dtype.dtype)
        return value if value.type == target else builder.fptrunc(value, target)

    return dtype.dtype(_WORD, _WORD, dtype), generate


#: Read whether a float64 is not zero; None where the word's number is.
read_flag = _operation(
    "read_flag",
    types.boolean(_WORD, _WORD),
    lambda b, at, word: b.fcmp_unordered("!=", b.load(place(b, at, word, _DOUBLE)), _DOUBLE(0.0)),
    optional=True,
)
