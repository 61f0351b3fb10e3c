"""The native steps of this process: made of plans when an executable is compiled or loaded, found by compiled code."""

import ctypes
import threading
from functools import cache
from typing import Final, final

import numpy

from rmsprop._core.cpu import c_interface, copies, pools
from rmsprop._core.cpu.c_memory import CMemory
from rmsprop._core.cpu.copies import Template
from rmsprop._core.cpu.kernels import TO_A_POOL, c_function, live_forever, pool_words
from rmsprop._core.cpu.system import library_function
from rmsprop._core.plan import Integers
from rmsprop._core.run import SMALL, Pool, Run
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import HEAD
from rmsprop._jax import entry, pool, xla_ffi
from rmsprop._jax.entry import ADDRESS, FLOAT, OPERAND, PLACE, PROCESS, STEP, WHOLE
from rmsprop._jax.plan import KEY, CallPlan

HANDLE: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)

#: The texts of errors; `%.17g` is the learning rate of a step.
_TEXTS: Final = {
    "wrong_count": "a step was called with other arguments than it was traced for",
    "wrong_place": "XLA did not put the results where the arguments are, as it was told",
    "wrong_rate": "learning_rate=%.17g, of this step, is not a finite number at least 0",
    "no_memory": "there is no memory for the tables of a step",
}
_WRONG_DTYPE: Final = "argument {place} of a step holds numbers of another type than it was traced for"
_WRONG_SIZE: Final = "argument {place} of a step holds more or fewer numbers than it was traced for"
_NO_PLAN: Final = "rmsprop_step was called without a plan, which the steps of rmsprop.jax have as 'plan'"
_EXTENSION: Final = "XLA's FFI has an extension that rmsprop_step does not know"
_UNKNOWN: Final = "rmsprop_step was called with a plan that this process has not read"


@final
class Steps:
    """The steps by the keys of their plans.

    Attributes:
        address: of the compiled handler.
        has_pool: whether XLA has threads for jobs of others; else those of this package help. Known before a step.
    """

    def __init__(self) -> None:
        self._lock, self.has_pool = threading.Lock(), False
        self._steps: dict[str, int] = {}
        self._memory = CMemory()
        self.address = c_function(entry.handle, "int64(int64)", entry, copies, c_interface, xla_ffi)
        self._grow(64)

    def add(self, text: str) -> None:
        """Make the step of a plan, unless it is made; kernels are compiled or loaded.

        Raises:
            ValueError: another version wrote the plan, or somebody has changed it.
        """
        if text[:KEY] in self._steps:
            CallPlan.read(text)
            return
        step = _make(CallPlan.read(text), _xlas_pool() if self.has_pool else None)
        with self._lock:
            if text[:KEY] in self._steps:
                return
            if 2 * len(self._steps) >= self._places:
                self._grow(2 * self._places)
            self._write(text[:KEY], step)
            self._steps[text[:KEY]] = step

    def _grow(self, places: int) -> None:
        # The old table stays: compiled code may be reading it.
        self._places = places
        self._table: Integers = numpy.zeros(len(PROCESS) + len(PLACE) * places, numpy.int64)
        functions = {"malloc": "malloc", "free": "free", "format": "snprintf"}
        texts = {"no_plan": _NO_PLAN, "unknown": _UNKNOWN, "extension": _EXTENSION}
        head = {"places": places, **{name: self._memory.text(text) for name, text in texts.items()}}
        head |= {name: library_function(function) for name, function in functions.items()}
        head |= {"major": xla_ffi.MAJOR, "frame": ctypes.sizeof(xla_ffi.Frame)}
        head |= {"buffers": ctypes.sizeof(xla_ffi.Buffers), "attributes": ctypes.sizeof(xla_ffi.Attributes)}
        self._table[: len(PROCESS)] = [head[name] for name in PROCESS]
        for key, step in self._steps.items():
            self._write(key, step)
        live_forever(self._table)
        HANDLE(self.address)(self._table.ctypes.data + 1)

    def _write(self, key: str, step: int) -> None:
        words = numpy.frombuffer(key.encode(), numpy.int64)
        table = self._table[len(PROCESS) :].reshape(-1, len(PLACE))
        number = int(words[0]) & (self._places - 1)
        while table[number, PLACE.index("step")]:
            number = (number + 1) & (self._places - 1)
        table[number, :2] = words
        table[number, PLACE.index("step")] = step  # last: it says that the place is taken


@final
class _XlasPool:
    """XLA's own threads, which it has started."""

    least = SMALL

    def __init__(self) -> None:
        self._words: Integers | None = None

    def words_at(self) -> int:
        """Return the address of the pool's words, whose functions are compiled for the first step with a large job."""
        if self._words is None:
            words = pool_words(c_function(pool.ask, TO_A_POOL, pool, pools, xla_ffi))
            self._words = numpy.array(words, numpy.int64)
            live_forever(self._words)
        return int(self._words.ctypes.data)

    def have(self, helpers: int) -> None:
        pass


_xlas_pool = cache(_XlasPool)


def _make(call: CallPlan, helpers: Pool | None) -> int:
    """Make the words of a step, which live for ever, and return their address."""
    run = Run(call.plan(), default_threads())
    for name, number in call.known:
        run.groups[name][:] = number
    run.compile(helpers)
    run.start_helpers()
    memory, count = CMemory(), len(call.tensors)
    template = Template(run, memory)
    targets = [
        (WHOLE, 8 * HEAD.index("iterations"))
        if name == "iterations"
        else (FLOAT, template.offset(run, run.groups[name]))
        for name, _ in call.numbers
    ]
    for name in ("gradient", *call.state):
        targets += [(ADDRESS, template.offset(run, run.where[name][place:])) for place in range(count)]
    rows = []
    for place, ((dtype, size), (kind, to)) in enumerate(zip(call.operands(), targets, strict=True)):
        row = {"dtype": xla_ffi.DTYPES[dtype], "size": size, "kind": kind, "to": to}
        row["wrong_dtype"] = memory.text(_WRONG_DTYPE.format(place=place))
        row["wrong_size"] = memory.text(_WRONG_SIZE.format(place=place))
        rows.append(row)
    head = dict(zip(STEP, template.words.tolist(), strict=False))
    head |= {name: memory.text(text) for name, text in _TEXTS.items()}
    head |= {"table": memory.rows(OPERAND, rows), "operands": len(rows), "results": count * len(call.state)}
    head["rate"] = template.offset(run, run.groups["learning_rate"])
    return memory.rows(STEP, [head])
