"""The native steps of this process: made when TensorFlow traces them, found by compiled code by their numbers."""

import ctypes
import secrets
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, final

import numpy
import tensorflow as tf

from rmsprop._core.cpu import c_interface, coalesce, copies
from rmsprop._core.cpu.c_memory import CMemory
from rmsprop._core.cpu.copies import Template
from rmsprop._core.cpu.kernels import c_function, live_forever
from rmsprop._core.cpu.system import address_of, library_function
from rmsprop._core.forks import compiling
from rmsprop._core.plan import Integers
from rmsprop._core.run import Run
from rmsprop._tensorflow import entry as compiled
from rmsprop._tensorflow import interface, operands, tables, work
from rmsprop._tensorflow.operands import Operand, Target
from rmsprop._tensorflow.tables import FUNCTIONS, LOCALS, PROCESS, RECORD, SPARSE, STEP, TEXTS

#: The name of the operation's attribute.
ATTRIBUTE: Final = "number"

#: TensorFlow's types have numbers below this.
_TYPES: Final = 64

_CALL: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
_SIGNATURES: Final = {
    "compute": "void(int64, int64)",
    "release": "void(int64)",
    "work": "int64(int64, int64, int64)",
}


def address(name: str) -> int:
    """Return the address of a compiled function, which TensorFlow or Python calls."""
    module = work if name == "work" else compiled
    signature = _SIGNATURES.get(name, "int64(int64)")
    return c_function(getattr(module, name), signature, module, tables, copies, coalesce, c_interface)


def call(name: str, word: int) -> int:
    """Call such a function of one word."""
    found: int = _CALL(address(name))(word)
    return found


def process() -> "Process":
    """Return the table of this process, which has one whatever threads come first."""
    with compiling():
        return _process()


@cache
def _process() -> "Process":
    return Process()


@final
class Process:
    """The table of this process, and its records. A record is never given to a second step."""

    def __init__(self) -> None:
        memory = CMemory()
        self._lock, self._made = threading.Lock(), 0
        self._records: Integers = numpy.zeros(256, numpy.int64)
        live_forever(self._records)
        # Not from 1: a graph that another process exported must not find a step of this one.
        self._first = secrets.randbits(62)
        words = {name: address_of(getattr(interface.library(), name)) for name in FUNCTIONS}
        words |= {name: library_function(name) for name in ("snprintf", "free")}
        words |= {name: memory.text(text) for name, text in TEXTS.items()}
        names = [memory.text(_type_name(number)) for number in range(_TYPES)]
        words |= {"types": memory.keep(numpy.array(names, numpy.int64)), "type_count": _TYPES}
        words |= {"attribute": memory.text(ATTRIBUTE), "first": self._first}
        words["records"] = self._records.ctypes.data
        self._table = memory.rows(PROCESS, [words])
        self._write(PROCESS.index("unknown"), memory.rows(RECORD, [{"process": self._table}]))
        call("create", self._table + 1)

    def _write(self, word: int, value: int) -> None:
        ctypes.c_int64.from_address(self._table + 8 * word).value = value

    def add(self, step: int) -> tuple[int, int]:
        """Write a step into a record that has one user, and return the record's address and its number."""
        with self._lock:
            made, record = self._made, CMemory().rows(RECORD, [{"process": self._table, "users": 1, "step": step}])
            if made == self._records.size:
                # The old array stays: compiled code may be reading it. The table comes first: an interrupt between the
                # two has the array grown again.
                more = numpy.concatenate([self._records, numpy.zeros_like(self._records)])
                live_forever(more)
                self._write(PROCESS.index("records"), more.ctypes.data)
                self._records = more
            self._records[made] = record
            self._made += 1
            self._write(PROCESS.index("made"), self._made)
            return record, self._first + made


@final
class Step:
    """A step that is being made: its memory, and what a copy has where.

    Args:
        run: a compiled run; the numbers of its groups are written.
        more: words of a copy that are not the run's.
    """

    def __init__(self, run: Run, more: int = 0) -> None:
        self.run, self.memory = run, CMemory()
        self._template = Template(run, self.memory, LOCALS + 8 * more)
        self._local = self._template.behind + LOCALS

    def cell(self, cell: Any) -> int:
        """Return where a cell of the run's tables is in a copy; `cell` is an array that begins with it."""
        return self._template.offset(self.run, cell)

    def local(self, words: int = 1) -> int:
        """Return where the next words are that are not the run's."""
        self._local += 8 * words
        return self._local - 8 * words

    def finish(
        self,
        inputs: tuple[Sequence[Operand], Sequence[Target]],
        outputs: tuple[Sequence[Operand], Sequence[Target]],
        sparse: list[dict[str, int]],
        **words: int,
    ) -> int:
        """Return the address of the step's words, the last block of its memory.

        Args:
            inputs: its tensors, and where their addresses go.
            outputs: the same of the results.
            sparse: words of `SPARSE`, for each sparse gradient.
            **words: further words of the step.
        """
        size = sum(one.dtype.size * numpy.prod(one.shape, dtype=int) for one in outputs[0]) / 1e6
        words |= {"inputs": operands.table(self.memory, *inputs), "input_count": len(inputs[0])}
        words |= {"outputs": operands.table(self.memory, *outputs), "output_count": len(outputs[0])}
        words |= {"sparse": self.memory.rows(SPARSE, sparse), "sparse_count": len(sparse)}
        if sparse or words.keys() & {"given_at", "found_at"} or not words["executes"]:
            words["work"] = address("work")
        words |= {"behind": self._template.behind}
        words["no_outputs"] = self.memory.text(f"there is no memory for {size:.3g} MB of new values")
        words["no_tables"] = self.memory.text("there is no memory for the tables of a step")
        head: Integers = self._template.words
        return self.memory.rows(STEP, [dict(zip(STEP, head.tolist(), strict=False)) | words])


def _type_name(number: int) -> str:
    try:
        return str(tf.as_dtype(number).name)
    except TypeError:
        return "unknown"
