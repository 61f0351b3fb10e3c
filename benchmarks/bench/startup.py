"""What a program pays once, measured in fresh interpreters: those that are compared run in turns."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.peers import FRONTENDS, OURS, FrontEnd, who_can
from bench.processes import measure_in_child, run_python
from bench.timing import ratio, summary

Row = dict[str, Any]

#: Processes for each figure, and for those that compile or import a framework.
_REPEATS, _SLOW_REPEATS = 7, 3

_IMPORT: Final = """\
import json, time, numpy, {before}
start = time.perf_counter()
import {module}
print(json.dumps({{"seconds": time.perf_counter() - start}}))
"""

_TRIVIAL: Final = """\
import numba

@numba.njit(cache=True)
def add(numbers):
    for i in range(numbers.size):
        numbers[i] += 1
"""


def measure_startup(
    frontend: str, model: str, variants: Sequence[str], peers: Sequence[str] = (), device: str = "cpu"
) -> Iterator[Row]:
    """Return rows on the import, on the first step with and without a cache of kernels, and on peers' first steps."""
    for row in _measure_startup(frontend, model, variants, peers, device):
        yield {"frontend": frontend, **row}


def _measure_startup(
    frontend: str, model: str, variants: Sequence[str], peers: Sequence[str], device: str
) -> Iterator[Row]:
    ours = FRONTENDS[frontend]
    repeats = _SLOW_REPEATS if ours.ours.modules else _REPEATS
    yield _import_row(ours, repeats)
    with tempfile.TemporaryDirectory(prefix="rmsprop-bench-") as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(_TRIVIAL)
        measure_in_child("trivial", name)  # fills Numba's own cache
        cold = {variant: _cold(folder, frontend, model, variant, device) for variant in variants}
        jobs: dict[tuple[str, str], Callable[[], float]] = {("", ""): partial(_seconds, "trivial", name)}
        for variant in variants:
            cache = _cache(folder, variant)
            for who in (OURS, *who_can(peers, variant)):
                jobs[who, variant] = partial(_seconds, "first_step", frontend, who, model, variant, device, cache=cache)
        times: dict[tuple[str, str], list[float]] = {job: [] for job in jobs}
        for _ in range(repeats):
            for job, measure in jobs.items():
                times[job].append(measure())
    baseline = statistics.median(times["", ""])
    yield _row("importing Numba, calling a cached function", "", times["", ""])
    for variant in variants:
        yield {**_row("first step, kernels cached", variant, times[OURS, variant]), "baseline_seconds": baseline}
        yield {**_row("first step, nothing cached", variant, cold[variant]), "baseline_seconds": baseline}
        for peer in who_can(peers, variant):
            yield _row(f"first step of {peer}", variant, times[peer, variant])


def measure_compilation(
    frontend: str, models: Sequence[str], variants: Sequence[str], peers: Sequence[str]
) -> Iterator[Row]:
    """Return rows on tracing and compiling a model's step, of ours with its kernels cached and of peers."""
    for model in models:
        for variant in variants:
            measure_in_child("compilation", frontend, OURS, model, variant)  # fills the cache
            times: dict[str, list[float]] = {who: [] for who in (OURS, *who_can(peers, variant))}
            for _ in range(_SLOW_REPEATS):
                for who, found in times.items():
                    found.append(_seconds("compilation", frontend, who, model, variant))
            for who, found in times.items():
                row = {"kind": "compilation", "frontend": frontend, "model": model, "variant": variant, "peer": who}
                yield {**row, **summary(found), "ratio": ratio(found, times[OURS])}


def _import_row(ours: FrontEnd, repeats: int) -> Row:
    before = ", ".join(module for module in ours.ours.modules if module != ours.module)
    code = _IMPORT.format(before=before or "sys", module=ours.module)
    times = [float(run_python("-c", code)["seconds"]) for _ in range(repeats)]
    return _row(f"import {ours.module}, after {ours.after}", "", times)


def _row(what: str, variant: str, times: Sequence[float]) -> Row:
    return {"kind": "startup", "what": what, "variant": variant, **summary(times)}


def _cold(folder: Path, frontend: str, model: str, variant: str, device: str) -> list[float]:
    """Time first steps that find an empty cache; the first of them fills the one that later steps find."""
    times = []
    for repeat in range(_SLOW_REPEATS):
        cache = _cache(folder, variant) if repeat == 0 else tempfile.mkdtemp(dir=folder)
        times.append(_seconds("first_step", frontend, OURS, model, variant, device, cache=cache))
    return times


def _cache(folder: Path, variant: str) -> str:
    return str(folder / f"kernels-{variant}")


def _seconds(*arguments: str, cache: str | None = None) -> float:
    return float(measure_in_child(*arguments, cache=cache)["seconds"])
