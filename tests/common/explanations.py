"""What `explain()` says: one table of switches for all front ends, and launches as they are counted in a step."""

import json
import pickle
from typing import Any, NamedTuple

import numpy

NATIVE = ("native", "numba", "")


class Case(NamedTuple):
    """Arguments and environment, and the way, the compiler and the reason that are expected."""

    arguments: dict[str, Any]
    environment: dict[str, str]
    expected: tuple[str, str, str]

    def __str__(self):
        return ",".join(f"{name}={value}" for name, value in (self.arguments | self.environment).items()) or "default"


OFF = {"RMSPROP_NATIVE": "0"}


def _cases(jit_compile, switch, native):
    """The ways of a front end without a switch, and with each that it has."""
    found = [Case({}, {}, NATIVE), Case({"jit_compile": False}, {}, jit_compile), Case({}, OFF, switch)]
    return [*found, Case({"native": False}, {}, native), Case({"native": True}, OFF, NATIVE)]


#: Front end -> cases, all with variables on one CPU.
TABLE = {
    "numpy": _cases(
        ("plain", "", "jit_compile=False"), ("plain", "", "RMSPROP_NATIVE=0"), ("plain", "", "native=False")
    ),
    "torch": _cases(
        ("plain", "", "jit_compile=False"), ("plain", "", "RMSPROP_NATIVE=0"), ("plain", "", "native=False")
    ),
    "jax": _cases(
        ("traced", "", "jit_compile=False"), ("traced", "xla", "RMSPROP_NATIVE=0"), ("traced", "xla", "native=False")
    ),
    "tf_keras": _cases(NATIVE, ("traced", "", "RMSPROP_NATIVE=0"), ("traced", "", "native=False")),
    "keras on torch": _cases(
        ("plain", "", "jit_compile=False"), ("plain", "", "RMSPROP_NATIVE=0"), ("plain", "", "native=False")
    ),
    "keras on jax": _cases(
        ("traced", "", "jit_compile=False"), ("traced", "xla", "RMSPROP_NATIVE=0"), ("traced", "xla", "native=False")
    ),
    "keras on tensorflow": _cases(NATIVE, ("traced", "", "RMSPROP_NATIVE=0"), ("traced", "", "native=False")),
}


def check(front_end, case, monkeypatch, explain):
    """Compare with a case of the table what `explain(**arguments)` says of variables "kernel" and "bias"."""
    monkeypatch.delenv("RMSPROP_NATIVE", raising=False)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    found = explain(momentum=0.9, slot_dtype="bfloat16", **case.arguments)
    assert found.front_end == front_end
    assert ways(found) == {"kernel": case.expected, "bias": case.expected}
    assert (found.launches > 0) == (found.threads > 0) == (case.expected == NATIVE)
    kernel = found.variables["kernel"]
    assert (kernel.shape, kernel.dtype) == ((3, 4), "float32")
    assert kernel.slots == {"velocity": "bfloat16", "momentum": "bfloat16"}
    # The gradient is read, variable and state are read and written.
    assert kernel.nbytes == 12 * (4 + 2 * (4 + 2 + 2))
    assert found.nbytes == kernel.nbytes + found.variables["bias"].nbytes
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(found) == hash(pickle.loads(pickle.dumps(found)))
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["variables"]["kernel"]["reason"] == case.expected[2]


def ways(explanation):
    """Name -> way, compiler and reason."""
    return {name: (one.way, one.compiler, one.reason) for name, one in explanation.variables.items()}


def arrays():
    """The variables of the table, of which a norm takes both."""
    return {"kernel": numpy.ones((3, 4), numpy.float32), "bias": numpy.ones(4, numpy.float32)}


class Counted:
    """Counts the calls of kernels on the CPU, and the runs of steps that are made for them."""

    def __init__(self, monkeypatch):
        from rmsprop._core.run import Run

        self.launches = self.made = 0
        make, execute = Run.__init__, Run.execute

        def counted_make(run, *arguments, **keywords):
            make(run, *arguments, **keywords)
            self.made += 1

        def counted_execute(run, *arguments, **keywords):
            # A kernel that is called takes pieces, even where there are none: that moves its job's first counter.
            counters = [*first_counters(run, "norms"), *first_counters(run, "steps")]
            run.words[counters] = 0
            execute(run, *arguments, **keywords)
            self.launches += int(numpy.count_nonzero(run.words[counters]))

        monkeypatch.setattr(Run, "__init__", counted_make)
        monkeypatch.setattr(Run, "execute", counted_execute)


def first_counters(run, jobs):
    """Give the words at which the jobs of a run begin."""
    from rmsprop._core.tables import JOB_WORDS

    return [run.plan.begin(jobs) + JOB_WORDS * number for number in range(len(getattr(run.plan, jobs)))]
