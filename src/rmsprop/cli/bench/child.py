"""What `startup` measures, each in an interpreter of its own: ``python -m rmsprop.cli.bench.child WHAT ...``.

One JSON object is printed.
"""

import json
import sys
import time
import tracemalloc
from importlib import import_module
from pathlib import Path
from typing import Any

from rmsprop.cli.bench.models import MODELS, VARIANTS, make_task
from rmsprop.cli.bench.peers import FRONTENDS, Contender

#: Steps during which memory is watched.
_WATCHED = 5


def trivial(folder: str) -> dict[str, Any]:
    """Time what any program pays for Numba: its import, and the first call of a small function from the cache."""
    import numpy

    sys.path.insert(0, folder)
    numbers = numpy.zeros(64, numpy.float32)
    start = time.perf_counter()
    import_module("trivial").add(numbers)
    return {"seconds": time.perf_counter() - start}


def first_step(frontend: str, model: str, variant: str) -> dict[str, Any]:
    """Time the first step, with all that it imports, loads and compiles."""
    contender = _contender(frontend, model, variant)
    start = time.perf_counter()
    contender.step()
    return {"seconds": time.perf_counter() - start}


def memory(frontend: str, model: str, variant: str) -> dict[str, Any]:
    """Find how much memory steps take for a while, the first step apart."""
    contender = _contender(frontend, model, variant)
    contender.step()
    resident = _resident_peak(contender)
    tracemalloc.start()
    # Also apart: what tracemalloc itself sees for the first time.
    contender.step()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(_WATCHED):
        contender.step()
    return {"python_bytes": tracemalloc.get_traced_memory()[1] - before, "resident_bytes": resident}


def _contender(frontend: str, model: str, variant: str) -> Contender:
    task = make_task(MODELS[model](), VARIANTS[variant])
    return FRONTENDS[frontend](task)


def _resident_peak(contender: Contender) -> int | None:
    """Give by how much the process's resident memory rises above its start within steps; None where unknown."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _status("VmRSS")
        for _ in range(_WATCHED):
            contender.step()
        return _status("VmHWM") - before
    except (OSError, KeyError):
        return None


def _status(entry: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024


if __name__ == "__main__":
    functions = {function.__name__: function for function in (trivial, first_step, memory)}
    print(json.dumps(functions[sys.argv[1]](*sys.argv[2:])))
