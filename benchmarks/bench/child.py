"""What is measured in an interpreter of its own: ``python -m bench.child WHAT ...``.

One JSON object is printed.
"""

import ctypes
import gc
import json
import sys
import time
import tracemalloc
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.contenders import Contender
from bench.devices import CPU, memory_peak, waiter
from bench.frameworks import set_threads
from bench.models import MODELS, VARIANTS, make_task
from bench.pauses import time_pauses
from bench.peers import FRONTENDS, OURS, PEERS, load_contenders, load_frontend
from bench.scaling import Point, measure_point
from bench.timing import Budget
from bench.training import contenders as training
from bench.training.measure import time_training

#: Steps during which memory is watched.
_WATCHED = 5

#: The model whose step is hardly more than its code.
_SMALL = "mlp"


def trivial(folder: str) -> dict[str, Any]:
    """Time what any program pays for Numba: its import, and the first call of a small function from the cache."""
    import numpy

    sys.path.insert(0, folder)
    numbers = numpy.zeros(64, numpy.float32)
    start = time.perf_counter()
    import_module("trivial").add(numbers)
    return {"seconds": time.perf_counter() - start}


def first_step(frontend: str, who: str, model: str, variant: str, device: str = CPU) -> dict[str, Any]:
    """Time the first step, with all that it imports, loads, traces and compiles."""
    contender, wait = _contender(frontend, who, model, variant, device), waiter(device)
    start = time.perf_counter()
    contender.step()
    wait()
    return {"seconds": time.perf_counter() - start}


def compilation(frontend: str, who: str, model: str, variant: str) -> dict[str, Any]:
    """Time tracing and compiling a step that is compiled before it is done."""
    contender: Any = _contender(frontend, who, model, variant)
    start = time.perf_counter()
    contender.prepare()
    return {"seconds": time.perf_counter() - start}


def memory(frontend: str, who: str, model: str, variant: str, device: str = CPU) -> dict[str, Any]:
    """Find how much memory steps take for a while, the first step apart."""
    contender = _contender(frontend, who, model, variant, device)
    contender.step()
    gc.collect()
    _trim()
    resident = _resident_peak(contender) if device == CPU else memory_peak(contender.step, _WATCHED)
    tracemalloc.start()
    # Also apart: what tracemalloc itself sees for the first time.
    contender.step()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(_WATCHED):
        contender.step()
    return {"python_bytes": tracemalloc.get_traced_memory()[1] - before, "resident_bytes": resident}


def peak(frontend: str, who: str, model: str, variant: str) -> dict[str, Any]:
    """Find how far the first step, and later ones, raise the resident memory above what it was before the first.

    By then an optimizer of a few numbers, gone since, has loaded the code; variables, gradients and optimizer are
    there; the step is traced; and the C library has given freed memory back to the system. The figures are None where
    the system does not tell.
    """
    _contender(frontend, who, _SMALL, variant).step()
    contender: Any = _contender(frontend, who, model, variant)
    contender.prepare()
    gc.collect()
    _trim()
    try:
        before = _reset_peak()
        contender.step()
        first = _status("VmHWM") - before
        _reset_peak()
        for _ in range(_WATCHED):
            contender.step()
        later, kept = _status("VmHWM") - before, _status("VmRSS") - before
    except (OSError, KeyError):
        return {"first_bytes": None, "later_bytes": None, "kept_bytes": None}
    return {"first_bytes": first, "later_bytes": later, "kept_bytes": kept}


def scaling(
    frontend: str, peers: str, axis: str, numbers: str, tensors: str, threads: str, seconds: str, rounds: str
) -> dict[str, Any]:
    """Time steps of ours and of peers, which are named with commas between, at one point of cost against work."""
    point = Point(axis, int(numbers), int(tensors), int(threads))
    return {"rows": measure_point(frontend, _split(peers), point, Budget.read(seconds, rounds))}


def pauses(
    frontend: str, model: str, variant: str, peers: str, seconds: str, rounds: str, threads: str
) -> dict[str, Any]:
    """Time steps of ours and of peers, which are named with commas between, after pauses."""
    everybody = load_contenders(frontend, _split(peers))
    if threads:
        set_threads(int(threads))
    return {"rows": time_pauses(frontend, model, variant, everybody, Budget.read(seconds, rounds))}


def train(
    frontend: str, model: str, variants: str, names: str, seconds: str, rounds: str, threads: str
) -> dict[str, Any]:
    """Time train steps of a model; variants and contenders are named with commas between."""
    load_frontend(frontend)
    if threads:
        set_threads(int(threads), training.FRONTENDS[frontend].packages)
    return time_training(frontend, model, _split(variants), _split(names), Budget.read(seconds, rounds))


def _split(words: str) -> list[str]:
    return words.split(",") if words else []


def _contender(frontend: str, who: str, model: str, variant: str, device: str = CPU) -> Contender:
    task = make_task(MODELS[model](), VARIANTS[variant])._replace(device=device)
    return (FRONTENDS[frontend].ours if who == OURS else PEERS[who]).make(task)


def _resident_peak(contender: Contender) -> int | None:
    """Return by how much the process's resident memory rises above its start within steps; None where unknown."""
    try:
        before = _reset_peak()
        for _ in range(_WATCHED):
            contender.step()
        return _status("VmHWM") - before
    except (OSError, KeyError):
        return None


def _reset_peak() -> int:
    """Let the peak of resident memory start anew, and return what is resident."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(entry: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024


def _trim() -> None:
    """Return freed memory to the system, where the C library knows how."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    measured = (trivial, first_step, compilation, memory, peak, scaling, pauses, train)
    functions = {function.__name__: function for function in measured}
    print(json.dumps(functions[sys.argv[1]](*sys.argv[2:])))
