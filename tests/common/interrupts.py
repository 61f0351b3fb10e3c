"""Interrupt a step at each of its lines, and compare what follows with an optimizer made anew from the state left.

An interrupt (Ctrl-C, a timeout's signal, a warning raised as an error) may come between any two lines of Python. The
step it hits may be half done, but no later step may know anything that the visible state does not say: neither an old
learning rate, nor the address of memory that is gone. `sys.settrace` puts a KeyboardInterrupt at each line in turn.
"""

import dis
import gc
import sys
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy
import pytest

import rmsprop

_PACKAGE = str(Path(rmsprop.__file__).parent)

#: Steps after the interrupt that are compared.
STEPS = 10

#: Lines from one interrupt to the next: some in the quick suite, each in the whole one.
every_line = pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])


def interrupted(call: Callable[[], object], line: int, skip: Collection[str] = ()) -> bool:
    """Call with a KeyboardInterrupt at a line of the package, counted from 0; False if there are not as many.

    Args:
        call: what is interrupted, on this thread.
        line: which of the lines that it runs through.
        skip: functions in which there is no interrupt, nor in what they call: those that C code calls.
    """
    passed = 0

    def local(frame: Any, event: str, argument: Any) -> Any:
        nonlocal passed
        if event == "line" and frame.f_lasti not in _edges_of_with(frame.f_code):
            passed += 1
            if passed > line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return local

    def enter(frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        outer = frame
        while skip and outer is not None:
            if outer.f_code.co_name in skip and outer.f_code.co_filename.startswith(_PACKAGE):
                return None
            outer = outer.f_back
        return local

    before = sys.gettrace()
    gc.disable()  # what has become garbage before is not interrupted: Python would only print the exception
    sys.settrace(enter)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


@cache
def _edges_of_with(code: CodeType) -> frozenset[int]:
    """Return the places at the edges of `with` blocks from which an exception would not reach the block's `__exit__`.

    That is where the end begins, whose line is that of the `with`: ``__exit__(None, None, None)``; and, in Python 3.11,
    a `try` that is the first line. No signal comes there, where it would leave a lock held or a scope open, as Python
    looks for signals only after it has called something, at the begin of a function and where it jumps back.
    """
    found, nones, instructions = set[int](), 0, [*dis.get_instructions(code)]
    for begin, _, first in zip(instructions, instructions[1:], instructions[2:], strict=False):
        if begin.opname == "BEFORE_WITH" and first.opname == "NOP":
            found.add(first.offset)
    for one in reversed(instructions):
        if one.opname == "LOAD_CONST" and one.argval is None:
            nones += 1
        elif nones < 3 or one.opname not in ("SWAP", "NOP"):
            nones = 0
        if nones >= 3:
            found.add(one.offset)
    return frozenset(found)


def check_each_line(
    make: Callable[[], Any],
    step: Callable[[Any], object],
    anew: Callable[[Any], Any],
    read: Callable[[Any], dict[str, Any]],
    every: int,
    skip: Collection[str] = (),
) -> int:
    """Compare ten steps after an interrupt with those of an optimizer made anew, for interrupts at many lines.

    Args:
        make: makes a run: an optimizer with its variables, before the step that is interrupted.
        step: does a step of a run, with gradients that depend on the run alone.
        anew: makes another run from the visible state of one: variables, slots, count and options.
        read: gives a run's variables and state by name, as arrays.
        every: lines from one interrupt to the next.
        skip: see `interrupted`.

    Returns:
        How many interrupts there were.
    """
    line = 0
    while True:
        run = make()
        if not interrupted(lambda run=run: step(run), line, skip):
            assert line > 0, "the step runs through no line of the package"
            return line // every
        other = anew(run)
        for _ in range(STEPS):
            step(run)
            step(other)
        found, expected = read(run), read(other)
        assert found.keys() == expected.keys(), f"interrupted at line {line}"
        for name, value in expected.items():
            numpy.testing.assert_array_equal(found[name], value, f"{name}, interrupted at line {line}")
        line += every
