"""``rmsprop bench --frontend tf_keras``: both contenders of every kind of work do the same, and all of it is shown."""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from rmsprop.cli import main
from rmsprop.cli.bench import child, machine, memory, startup
from rmsprop.cli.bench.contenders import tf_keras as contenders
from rmsprop.cli.bench.models import MODELS, VARIANTS, count_numbers
from rmsprop.cli.bench.peers import FRONTENDS, OURS, PEERS
from rmsprop.cli.bench.workloads import WORKLOADS, make_fit_task, make_table_task

LAYERS = [(6, 16), (16,), (16, 4), (4,)]

#: The kinds of work with little of it.
SMALL = {
    "steps": WORKLOADS["steps"]._replace(models={"dqn": lambda: LAYERS}),
    "eager": WORKLOADS["eager"]._replace(models={"dqn": lambda: LAYERS}),
    "fit": WORKLOADS["fit"]._replace(
        models={"classifier": lambda: LAYERS},
        make_task=lambda shapes, options: make_fit_task(shapes, options, batch=4, steps=5),
    ),
    "embedding": WORKLOADS["embedding"]._replace(
        models={"table": lambda: [(50, 4)]},
        make_task=lambda shapes, options: make_table_task(shapes, options, touched=10),
    ),
}

# A row's entries besides those that every measured time has.
TIMES = {"seconds", "seconds_p10", "seconds_p90", "samples"}
WORK = {"frontend", "model", "variant", "tensors", "numbers", "peer", "ratio"} | TIMES
ROWS = dict.fromkeys([workload.kind for workload in SMALL.values()], WORK)
ROWS["startup"] = {"what", "variant"} | TIMES
ROWS["memory"] = {"frontend", "model", "variant", "peer", "largest_tensor_bytes", "bucket_bytes"}
ROWS["memory"] |= {"first_bytes", "later_bytes", "kept_bytes"}


def start_of(task):
    if hasattr(task, "variables"):
        return task.variables
    return [task.table]


class TestContenders:
    @pytest.mark.parametrize(
        ("part", "variant"), [(part, variant) for part, workload in SMALL.items() for variant in workload.variants]
    )
    def test_end_with_the_same_weights(self, part, variant):
        workload = SMALL[part]
        ((_, shapes),) = workload.models.items()
        task = workload.make_task(shapes(), VARIANTS[variant])
        ours, peer = (one.makers[workload.kind](task) for one in (FRONTENDS["tf_keras"].ours, PEERS["tf_keras"]))
        for _ in range(120 // task.steps):  # past an overwriting
            ours.step()
            peer.step()
        for start, one, other in zip(start_of(task), ours.weights(), peer.weights(), strict=True):
            assert one.shape == start.shape
            assert (one != start).any()
            # Measured: 1.9e-7, of rounding.
            assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()

    def test_are_ours_and_the_original(self):
        task = SMALL["steps"].make_task(LAYERS, {})
        assert type(contenders.OURS["eager"](task)._optimizer).__module__ == "rmsprop.tf_keras"
        assert type(contenders.ORIGINAL["eager"](task)._optimizer).__module__.startswith("tf_keras.")

    @pytest.mark.parametrize("makers", [contenders.OURS, contenders.ORIGINAL], ids=["ours", "original"])
    def test_prepare_traces_and_moves_nothing(self, makers):
        task = SMALL["steps"].make_task(LAYERS, {})
        contender = makers["step"](task)
        contender.prepare()
        assert contender._function.experimental_get_tracing_count() == 1
        assert all((one == start).all() for one, start in zip(contender.weights(), task.variables, strict=True))
        contender.step()
        contender.step()
        assert contender._function.experimental_get_tracing_count() == 1
        assert contender._optimizer.iterations.numpy() == 2

    def test_an_epoch_does_the_steps_that_its_time_is_divided_by(self):
        task = SMALL["fit"].make_task(LAYERS, {})
        contender = contenders.OURS["fit"](task)
        contender.step()
        assert contender._model.optimizer.iterations.numpy() == task.steps == 5

    def test_a_table_is_given_the_rows_alone(self):
        task = SMALL["embedding"].make_task([(50, 4)], {})
        contender = contenders.OURS["embedding"](task)
        contender.step()
        moved = np.flatnonzero((contender.weights()[0] != task.table).any(axis=1))
        assert moved.tolist() == sorted(task.rows.tolist())
        (gradient,) = contender._gradients
        assert isinstance(gradient, tf.IndexedSlices)


def measure_here(what, *arguments, cache=None):
    """Do what a process of its own does; each would import TensorFlow."""
    return {"seconds": 1.0} if what == "trivial" else getattr(child, what)(*arguments)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A small run of every part: what it printed and wrote."""
    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    for part, workload in SMALL.items():
        patch.setitem(WORKLOADS, part, workload)
    patch.setattr(startup, "_SLOW_REPEATS", 1)
    patch.setattr(startup, "measure_in_child", measure_here)
    patch.setattr(memory, "_REPEATS", 1)
    patch.setattr("rmsprop.cli.bench.measure._LARGE", ("dqn",))
    patch.setattr(machine.Watch, "busy_elsewhere", lambda self: 0.0)
    try:
        arguments = ["--variant", "plain", "--repeat", "2", "--seconds", "0.1"]
        arguments += ["--json", str(folder / "bench.json"), "--plot", str(folder / "bench.png")]
        with redirect_stdout(StringIO()) as printed:
            assert main(["bench", "--frontend", "tf_keras", *arguments]) == 0
    finally:
        patch.undo()
    entries = json.loads((folder / "bench.json").read_text())
    return SimpleNamespace(printed=printed.getvalue(), rows=entries["rows"], entries=entries, folder=folder)


class TestARun:
    def test_rows_have_what_they_should(self, figures):
        assert {row["kind"] for row in figures.rows} == set(ROWS)
        for row in figures.rows:
            assert set(row) - {"kind", "baseline_seconds"} == ROWS[row["kind"]]
        work = [(row["kind"], row["model"], row["peer"]) for row in figures.rows if "ratio" in row]
        models = {"step": "dqn", "eager": "dqn", "fit": "classifier", "embedding": "table"}
        assert work == [(kind, model, peer) for kind, model in models.items() for peer in (OURS, "tf_keras")]
        assert all(
            0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"] for row in figures.rows if "seconds" in row
        )

    def test_names_versions(self, figures):
        versions = figures.entries["machine"]["versions"]
        assert set(versions) == {"Python", "rmsprop", "numpy", "numba", "tensorflow", "tf-keras"}
        assert versions["tensorflow"] == tf.__version__

    def test_starts_are_of_ours_and_of_the_original(self, figures):
        rows = {row["what"]: row for row in figures.rows if row["kind"] == "startup"}
        assert list(rows) == [
            "import rmsprop.tf_keras, after tf_keras",
            "importing Numba, calling a cached function",
            "first step, kernels cached",
            "first step, nothing cached",
            "first step of tf_keras",
        ]

    def test_peaks_are_of_new_values_alone(self, figures):
        """What was loaded, compiled and traced before is not in them: of ours alone that is 50 MB."""
        ours, peer = [row for row in figures.rows if row["kind"] == "memory"]
        assert (ours["peer"], peer["peer"]) == (OURS, "tf_keras")
        assert ours["bucket_bytes"] == contenders.bucket() > 1 << 20
        shapes = MODELS["dqn"]()
        values = 2 * 4 * count_numbers(shapes)  # 13.5 MB: the variables and their velocities
        for row in (ours, peer):
            assert row["largest_tensor_bytes"] == 512 * 3136 * 4
            sizes = [row[entry] for entry in ("first_bytes", "later_bytes", "kept_bytes")]
            # Measured: 15.3 to 18.6 MB.
            assert sizes == [None] * 3 or 0.4 * values < min(sizes) <= max(sizes) < 2.5 * values

    def test_shows_and_draws_all_of_it(self, figures):
        shown = " ".join(figures.printed.split())
        for title in (
            "dqn: 4 tensors, 180 numbers",
            "dqn, eagerly: 4 tensors",
            "classifier, a whole step of fit: 4 tensors",
            "table, few rows a step: 1 tensor, 200 numbers",
            "once in a process",
            "dqn: memory above that before the first step",
        ):
            assert title in shown
        assert (figures.folder / "bench.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

    def test_is_silent_but_for_its_report(self, tmp_path):
        """In a process of its own, which imports TensorFlow; with more threads than one by default."""
        command = [sys.executable, "-W", "error", "-m", "rmsprop", "bench", "--frontend", "tf_keras", "--part", "eager"]
        command += ["--model", "mlp", "--variant", "everything", "--repeat", "1", "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "mlp, eagerly: 6 tensors, 4,996 numbers" in done.stdout
