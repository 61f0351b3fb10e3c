"""What a program pays once, and how much memory a step takes: measured in fresh interpreters.

Imports, the kernel cache and a process's peak of memory are only what they are in a process that has done nothing
else. Those that are compared run in turns.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rmsprop.cli import CommandError
from rmsprop.cli.bench.models import MODELS, count_numbers
from rmsprop.cli.bench.timing import summary

Row = dict[str, Any]

#: Processes for each figure, and for those that compile.
_REPEATS, _COLD_REPEATS = 7, 3

_IMPORT: Final = """\
import json, time, numpy
start = time.perf_counter()
import rmsprop
print(json.dumps({"seconds": time.perf_counter() - start}))
"""

_TRIVIAL: Final = """\
import numba

@numba.njit(cache=True)
def add(numbers):
    for i in range(numbers.size):
        numbers[i] += 1
"""


def measure_startup(frontend: str, model: str, variants: Sequence[str]) -> Iterator[Row]:
    """Give rows on the import and on the first step, without and with a cache of kernels."""
    yield _import_row()
    with tempfile.TemporaryDirectory(prefix="rmsprop-bench-") as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(_TRIVIAL)
        _child("trivial", name)  # fills Numba's own cache
        cold = {variant: _cold(folder, frontend, model, variant) for variant in variants}
        jobs: dict[str, Callable[[], float]] = {"": partial(_seconds, "trivial", name)}
        for variant in variants:
            cache = _cache(folder, variant)
            jobs[variant] = partial(_seconds, "first_step", frontend, model, variant, cache=cache)
        times: dict[str, list[float]] = {job: [] for job in jobs}
        for _ in range(_REPEATS):
            for job, measure in jobs.items():
                times[job].append(measure())
    baseline = statistics.median(times[""])
    yield _row("importing Numba, calling a cached function", "", times[""])
    for variant in variants:
        yield {**_row("first step, kernels cached", variant, times[variant]), "baseline_seconds": baseline}
        yield {**_row("first step, nothing cached", variant, cold[variant]), "baseline_seconds": baseline}


def _import_row() -> Row:
    times = [float(_run("-c", _IMPORT)["seconds"]) for _ in range(_REPEATS)]
    return _row("import rmsprop, after NumPy", "", times)


def _row(what: str, variant: str, times: Sequence[float]) -> Row:
    return {"kind": "startup", "what": what, "variant": variant, **summary(times)}


def _cold(folder: Path, frontend: str, model: str, variant: str) -> list[float]:
    """Time first steps that find an empty cache; the first of them fills the one that later steps find."""
    times = []
    for repeat in range(_COLD_REPEATS):
        cache = _cache(folder, variant) if repeat == 0 else tempfile.mkdtemp(dir=folder)
        times.append(_seconds("first_step", frontend, model, variant, cache=cache))
    return times


def _cache(folder: Path, variant: str) -> str:
    return str(folder / f"kernels-{variant}")


def measure_allocation(frontend: str, model: str, variants: Sequence[str]) -> Iterator[Row]:
    """Give rows on the memory that a step takes for a while, beside the size of the model's largest tensor."""
    largest = max(count_numbers([shape]) for shape in MODELS[model]()) * 4
    for variant in variants:
        found = _child("memory", frontend, model, variant)
        yield {"kind": "allocation", "model": model, "variant": variant, "largest_tensor_bytes": largest, **found}


def _seconds(*arguments: str, cache: str | None = None) -> float:
    return float(_child(*arguments, cache=cache)["seconds"])


def _child(*arguments: str, cache: str | None = None) -> Row:
    return _run("-m", "rmsprop.cli.bench.child", *arguments, cache=cache)


def _run(*arguments: str, cache: str | None = None) -> Row:
    environment = {**os.environ, "RMSPROP_CACHE_DIR": cache} if cache else None
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise CommandError(f"a process of the measurement failed: {done.stderr.strip().splitlines()[-1:]}")
    found: Row = json.loads(done.stdout)
    return found
