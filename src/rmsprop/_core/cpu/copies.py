"""Copies of a run's memory for calls by compiled code of a framework, on any number of threads at once.

A framework calls a step with addresses that differ each time, so each call needs tables of its own. A call borrows a
copy of the template, whose kernels are found and whose group's numbers are written, fills in the rest, runs it, and
returns it for the next call. Nothing here calls Python, and no address is a constant of the code.
"""

from typing import Any, Final, final

import numpy

from rmsprop._core.cpu.c_memory import CMemory
from rmsprop._core.cpu.kernels import entry
from rmsprop._core.cpu.system import library_function
from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import call, call_word, exchange_shared, read, replace_shared, write
from rmsprop._core.plan import Integers
from rmsprop._core.run import Run
from rmsprop._core.tables import LINE

#: The words of a template: a copy that no call uses, or 0; the memory to copy, and how many words; the bytes of a copy,
#: with scratch memory and what is behind; the functions that execute a run, allocate, and free.
TEMPLATE: Final = ("idle", "words", "count", "bytes", "execute", "malloc", "free")
_IDLE, _WORDS, _COUNT, _BYTES, _EXECUTE, _MALLOC, _FREE = range(len(TEMPLATE))


@jit
def borrow(template):
    """Return the address of a copy's head, at the beginning of a cache line; 0 if there is no memory."""
    head = exchange_shared(template + 8 * _IDLE, 0)
    if head == 0:
        start = call_word(read(template, _MALLOC), read(template, _BYTES) + 2 * LINE)
        if start == 0:
            return 0
        head = (start // LINE + 2) * LINE
        write(head, -1, start)
        words, number = read(template, _WORDS), read(template, _COUNT) - 1
        while number >= 0:
            write(head, number, read(words, number))
            number -= 1
    return head


@jit
def give_back(template, head):
    """Return a copy, for the next call or to the system."""
    if not replace_shared(template + 8 * _IDLE, 0, head):
        call(read(template, _FREE), read(head, -1))


@jit
def execute(template, head):
    """Do the step of a copy whose tables are filled."""
    call(read(template, _EXECUTE), head)


@final
class Template:
    """A run as compiled code copies it.

    Args:
        run: a compiled run; the numbers of its groups that are known are written.
        memory: has the words to copy, for as long as calls may come.
        more: bytes of a copy behind its run.

    Attributes:
        words: the words of `TEMPLATE`.
        behind: the distance of those bytes from the head.
    """

    def __init__(self, run: Run, memory: CMemory, more: int = 0) -> None:
        words = run.words[: run.plan.words.size]
        self.behind = run.words.nbytes
        functions = entry("execute"), library_function("malloc"), library_function("free")
        self.words: Integers = numpy.array(
            [0, memory.keep(words), words.size, self.behind + more, *functions], numpy.int64
        )

    @staticmethod
    def offset(run: Run, cell: Any) -> int:
        """Return where a cell of a run's tables is, in bytes from the head; `cell` is an array of one number."""
        return int(cell.ctypes.data) - run.address
