"""What compiled code needs of C interfaces besides calls: room for answers, a word to keep, and texts."""

from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from rmsprop._core.cpu.target import jit

_I32, _I64 = ir.IntType(32), ir.IntType(64)

#: 64-bit words of `room`.
ROOM: Final = 4


@intrinsic
def room(typing_context: Any) -> Any:
    """Return the address of `ROOM` words, which are there until the function that asks for them returns."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(_I64, ROOM)), _I64)

    return types.int64(), generate


@intrinsic
def own_word(typing_context: Any) -> Any:
    """Return the address of a word that belongs to the compiled code, 0 until somebody writes to it."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        word = ir.GlobalVariable(builder.module, _I64, "rmsprop_own_word")
        word.linkage, word.initializer = "internal", _I64(0)
        return builder.ptrtoint(word, _I64)

    return types.int64(), generate


@intrinsic
def _format(typing_context: Any, function: Any, to: Any, size: Any, text: Any, value: Any) -> Any:
    """Call `snprintf` with one word."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        function, to, size, text, value = given
        kind = ir.FunctionType(_I32, [_I64] * 3, var_arg=True)
        called = builder.call(builder.inttoptr(function, kind.as_pointer()), [to, size, text, value])
        return builder.sext(called, _I64)

    return types.int64(*[types.int64] * 5), generate


@jit
def append(function: int, to: int, end: int, text: int, value: int) -> int:
    """Write a text, in which a word takes the place of a format, and return where the next one begins.

    Args:
        function: the address of `snprintf`.
        to: where the text begins.
        end: where its memory ends; what does not fit is left out.
        text: address of the text.
        value: the word: a number, or the address of a text.
    """
    if to >= end - 1:
        return to
    to += _format(function, to, end - to, text, value)  # type: ignore[call-arg]
    return to if to < end else end - 1
