"""Chunks that threads draw from a counter in memory, without the interpreter and its lock.

Those who share a piece of work have a few words in common (`rmsprop.compilers._layout.WORDS`). One of them leads: it
opens the work, draws chunks until there are none, closes it and waits for the others. The others help: they draw if it
is open when they come, for the run that they come for, and whoever comes late goes away again. So nobody is waited for
who has not begun, and when the leader is done, nobody works on, or it sees that somebody does.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop.compilers._layout import HELPING, NEXT, OPEN

_jit = numba.njit(error_model="numpy", nogil=True)

_I64 = ir.IntType(64)

#: How often the leader looks whether all have gone: some ten microseconds, as long as a chunk takes.
_LOOKS = 20_000


@intrinsic
def _add(typing_context: Any, address: Any, number: Any) -> Any:
    """Add to a word in memory, and give what was there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _set(typing_context: Any, address: Any, number: Any) -> Any:
    """Write a word to memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        builder.store_atomic(arguments[1], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


@intrinsic
def _get(typing_context: Any, address: Any) -> Any:
    """Read a word of memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(types.int64), generate


@_jit
def _place(turns, word):
    return turns.ctypes.data + 8 * word


@_jit
def _enter(turns, leads, run):
    """Open the work for a run, or give whether it is open for this one."""
    if leads:
        _set(_place(turns, NEXT), 0)
        _set(_place(turns, OPEN), run)
        return True
    # In this order, and the leader's the other way round: it sees a helper, or that helper sees that it has closed.
    _add(_place(turns, HELPING), 1)
    return _get(_place(turns, OPEN)) == run


@_jit
def _leave(turns, leads):
    """Go; the leader closes the work, and waits a little for the others to be gone."""
    if leads:
        _set(_place(turns, OPEN), 0)
        for _ in range(_LOOKS):
            if _get(_place(turns, HELPING)) == 0:
                break
    else:
        _add(_place(turns, HELPING), -1)


def drawn(kernel: Callable[..., Any]) -> Callable[..., None]:
    """Give a function that draws the chunks that a kernel does.

    Args:
        kernel: of the first chunk, the one past the last, and other arguments; compiled.

    Returns:
        A function, to be compiled, of the words that threads have in common, whether this one leads, for which run its
        arguments are, counted from 1, how many chunks there are, how many of them to draw at a time, and the other
        arguments.
    """

    def draw(turns, leads, run, count, some, *arguments):
        if _enter(turns, leads, run):
            mode = compute_exactly()
            first = _add(_place(turns, NEXT), some)
            while first < count:
                kernel(first, min(first + some, count), *arguments)
                first = _add(_place(turns, NEXT), some)
            restore(mode)
        _leave(turns, leads)

    draw.__name__ = draw.__qualname__ = kernel.__name__
    draw.__doc__ = kernel.__doc__
    return draw
