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

import numpy as np
import pytest

from bench import child, machine, memory, startup
from bench.command import main
from bench.frameworks import quietly
from bench.training.contenders import COMPILED, MODEL, SGD, WITHOUT_OPTIONS
from bench.training.jobs import make_job

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
    "startup": {"frontend", "what", "variant"} | TIMES,
    "allocation": {"model", "variant", "peer", "largest_tensor_bytes", "python_bytes", "resident_bytes"},
    "train": {"frontend", "model", "variant", "batch", "tensors", "numbers", "processes", "peer", "base"} | TIMES,
    "pauses": {"frontend", "model", "variant", "tensors", "numbers", "steps", "pause", "peer", "ratio"} | TIMES,
    "scaling": {"frontend", "variant", "axis", "numbers", "tensors", "threads", "peer", "ratio"} | TIMES,
}

#: Entries of a train step with an optimizer.
PARTS = {f"part_{name}" for name in TIMES} | {"part_of_sgd", "part_ratio", "ratio"}

#: Numbers that each model trains, whatever the framework.
TRAINED = {"mlp": 4_996, "classifier": 1_863_690, "dqn": 1_693_362, "transformer": 859_136, "resnet18": 11_689_512}


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


def assert_trains(make, names, model):
    """Contenders move all weights, as many as the model has, or without an optimizer none.

    Returns the weights that each ended with, and under "start" those that all begin with.
    """
    job, options = make_job(model), {"momentum": 0.9, "centered": True, "weight_decay": 1e-4}
    ended = {}
    for name in names:
        with quietly():  # compilers warn and chatter
            contender = make[name](job, {} if name in WITHOUT_OPTIONS else options)
            start = contender.weights()
            contender.step()
        assert sum(weight.size for weight in start) == TRAINED[model]
        assert all((one == other).all() for one, other in zip(start, ended.setdefault("start", start), strict=True))
        for _ in range(2):
            contender.step()
        ended[name] = contender.weights()
        moved = [(one != other).any() for one, other in zip(start, ended[name], strict=True)]
        # Plain descent goes no way where a gradient is nothing but rounding, as that of the biases of attention's keys.
        expected = {MODEL: not any(moved), MODEL + COMPILED: not any(moved), SGD: any(moved)}
        assert expected.get(name, all(moved)), name
    return ended


def assert_same_way(ended, one, other):
    """Two contenders went the same way from where they began, but for rounding, in the mean of all weights.

    Measured: for ResNet-18 1.1e-3 in JAX on AMD EPYC and 1.6e-4 in TensorFlow, whose sums have no order; 4.2e-6 at most
    for other models. ResNet-18 makes much of rounding: in JAX the first gradients are the same and the weights 8e-7 of
    the way apart after the first step, but the gradients of the second step 4e-3 and of the third 1e-2.
    """
    triples = list(zip(ended["start"], ended[one], ended[other], strict=True))
    apart = sum(np.abs(mine - theirs).sum() for _, mine, theirs in triples)
    assert apart <= 5e-3 * sum(np.abs(theirs - start).sum() for start, _, theirs in triples)


def run_alone(frontend, *arguments):
    """Run the benchmark in a process of its own, where nothing but the report may come out, and return that."""
    command = [sys.executable, "-W", "error", RUN, "--frontend", frontend, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
