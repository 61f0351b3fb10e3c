"""What the benchmark's tests share whatever the front end: a small run of every part, and its rows.

Frameworks are tested in processes of their own, so these functions are not parametrized tests of one module.
"""

import json
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import child, machine, memory, startup
from bench.command import main

#: Beside it are the benchmark's package and tests.
RUN = Path(__file__).parents[1] / "run.py"

#: Tensors of a contender that is to do a few steps.
SHAPES = [(8, 16), (16,), (16, 4), (4,)]

#: A row's entries besides those that every measured time has.
TIMES = {"seconds", "seconds_p10", "seconds_p90", "samples"}
ROWS = {
    "step": {"frontend", "model", "variant", "tensors", "numbers", "peer", "ratio"} | TIMES,
    "limit": {"frontend", "model", "variant", "bytes", "loop", "part_of_limit"} | TIMES,
    "compilation": {"frontend", "model", "variant", "peer", "ratio"} | TIMES,
    "startup": {"what", "variant"} | TIMES,
    "allocation": {"model", "variant", "peer", "largest_tensor_bytes", "python_bytes", "resident_bytes"},
}


def rows_of(*kinds):
    return {kind: ROWS[kind] for kind in kinds}


def measure_here(what, *arguments, cache=None):
    """Do what a process of its own does; each would import the framework."""
    return {"seconds": 1.0} if what == "trivial" else getattr(child, what)(*arguments)


@contextmanager
def in_this_process():
    """Let `run` measure everything in this process, once, on a machine that is not busy; gives a monkeypatch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(startup, "_SLOW_REPEATS", 1)
        patch.setattr(startup, "measure_in_child", measure_here)
        patch.setattr(memory, "measure_in_child", measure_here)
        patch.setattr(machine.Watch, "busy_elsewhere", lambda self: 0.0)
        yield patch


def run(frontend, folder, *arguments):
    """Run the benchmark in this process and return what it printed and wrote."""
    files = ["--json", str(folder / "bench.json"), "--plot", str(folder / "bench.png")]
    with redirect_stdout(StringIO()) as printed:
        assert main(["--frontend", frontend, *arguments, *files]) == 0
    entries = json.loads((folder / "bench.json").read_text())
    return SimpleNamespace(printed=printed.getvalue(), rows=entries["rows"], entries=entries, folder=folder)


def assert_rows(figures, kinds):
    """There are rows of all these kinds, each with its entries, and times that can be."""
    assert {row["kind"] for row in figures.rows} == set(kinds)
    for row in figures.rows:
        assert set(row) - {"kind", "baseline_seconds"} == kinds[row["kind"]]
    timed = [row for row in figures.rows if "seconds" in row]
    assert all(0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"] for row in timed)


def assert_shown(figures, *titles):
    """These words were printed, however the lines were broken, and a picture was drawn."""
    shown = " ".join(figures.printed.split())
    for title in titles:
        assert title in shown
    assert (figures.folder / "bench.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def run_alone(frontend, *arguments):
    """Run the benchmark in a process of its own, where nothing but the report may come out, and return that."""
    command = [sys.executable, "-W", "error", RUN, "--frontend", frontend, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
