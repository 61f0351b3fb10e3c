"""``rmsprop bench`` of front ends that do more than steps: kinds of work, memory, tables - without any framework."""

import importlib.util
import json
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

import numpy
import processes
import pytest

from rmsprop.cli import main
from rmsprop.cli.bench import _peer_names, measure, memory
from rmsprop.cli.bench.models import VARIANTS, count_numbers
from rmsprop.cli.bench.peers import FRONTENDS, OURS, PEERS
from rmsprop.cli.bench.timing import Budget
from rmsprop.cli.bench.workloads import FIT_STEPS, KINDS, TOUCHED, WORKLOADS, make_fit_task, make_table_task

TABLE = Path(__file__).parents[2] / "benchmarks" / "table.py"


class TestWorkloads:
    @pytest.mark.parametrize(
        ("part", "model", "tensors", "numbers"),
        [("fit", "classifier", 6, 1_863_690), ("embedding", "table", 1, 64_000_000)],
    )
    def test_totals(self, part: str, model: str, tensors: int, numbers: int) -> None:
        shapes = WORKLOADS[part].models[model]()
        assert (len(shapes), count_numbers(shapes)) == (tensors, numbers)

    def test_steps_and_eager_steps_are_the_same_work(self) -> None:
        assert WORKLOADS["eager"][2:] == WORKLOADS["steps"][2:]
        assert set(KINDS) == {"step", "eager", "fit", "embedding"}

    def test_every_variant_is_known(self) -> None:
        assert all(set(workload.variants) <= set(VARIANTS) for workload in WORKLOADS.values())

    def test_an_epoch_is_of_batches_of_32(self) -> None:
        task = make_fit_task([(6, 8), (8,), (8, 3), (3,)], {}, steps=5)
        assert (task.steps, task.batch, task.images.shape) == (5, 32, (160, 6))
        assert set(task.labels.tolist()) == {0, 1, 2}
        assert [array.shape for array in task.variables] == [(6, 8), (8,), (8, 3), (3,)]
        kernel, biases = task.variables[:2]
        assert (biases == 0).all()
        assert kernel.std() == pytest.approx((2 / 6) ** 0.5, rel=0.3)
        assert FIT_STEPS >= 100  # otherwise the start of `fit` would be a part of the figure

    def test_a_table_is_touched_in_rows_that_are_each_there_once(self) -> None:
        task = make_table_task([(5000, 3)], {})
        assert (task.table.shape, task.values.shape, task.steps) == ((5000, 3), (TOUCHED, 3), 1)
        assert len(set(task.rows.tolist())) == TOUCHED
        assert (numpy.diff(task.rows) < 0).any()  # in no order
        assert 0 <= task.rows.min() <= task.rows.max() < 5000


class Sleeper:
    """A contender of which a call takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def step(self) -> None:
        time.sleep(self._seconds)


class TestMeasuring:
    def test_figures_are_of_one_step_of_many_in_a_call(self) -> None:
        workload = WORKLOADS["fit"]._replace(
            models={"classifier": lambda: [(2, 3), (3,)]},
            make_task=lambda shapes, options: make_fit_task(shapes, options, steps=10),
        )
        makers = {OURS: lambda task: Sleeper(0.02), "other": lambda task: Sleeper(0.04)}
        rows = measure.measure_steps("any", "classifier", "plain", makers, Budget(rounds=3), workload)
        assert [(row["kind"], row["model"], row["peer"]) for row in rows] == [
            ("fit", "classifier", OURS),
            ("fit", "classifier", "other"),
        ]
        assert 0.002 <= rows[0]["seconds"] < 0.004 <= rows[1]["seconds"]
        assert rows[1]["ratio"] > 1.2

    def test_peaks_are_medians_after_a_process_that_compiles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def measured(*arguments: str) -> dict[str, int | None]:
            asked.append(arguments)
            return {"first_bytes": len(asked) ** 2, "later_bytes": None}

        monkeypatch.setattr(memory, "measure_in_child", measured)
        monkeypatch.setitem(FRONTENDS, "numpy", FRONTENDS["numpy"]._replace(bucket=lambda: 7))
        ours, other = memory.measure_memory("numpy", ["dqn"], ["plain"], ["torch"])
        assert asked == 4 * [("peak", "numpy", OURS, "dqn", "plain")] + 3 * [("peak", "numpy", "torch", "dqn", "plain")]
        shown = {"kind": "memory", "frontend": "numpy", "model": "dqn", "variant": "plain", "later_bytes": None}
        shown |= {"largest_tensor_bytes": 512 * 3136 * 4, "bucket_bytes": 7}
        assert ours == shown | {"peer": OURS, "first_bytes": 9}
        assert other == shown | {"peer": "torch", "first_bytes": 36}

    def test_a_front_end_is_compared_with_its_own_peers(self) -> None:
        for name, frontend in FRONTENDS.items():
            options = parse("--frontend", name)
            assert _peer_names(options) == list(frontend.peers)
            assert set(frontend.peers) <= set(PEERS)
            assert all(WORKLOADS[part].kind in frontend.ours.makers for part in frontend.parts if part in WORKLOADS)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--part", "fit"], "--part fit: of the front end numpy there are steps, limit, startup, allocation"),
            (["--part", "limit", "--model", "mlp"], "--part limit measures nothing of --model mlp"),
            (["--part", "steps", "--model", "table"], "--part steps measures nothing of --model table"),
        ],
    )
    def test_what_a_front_end_does_not_have_is_said_in_a_line(self, arguments, message, capsys) -> None:
        assert main(["bench", "--peer", "none", *arguments]) == 2
        assert capsys.readouterr().err == f"rmsprop bench: error: {message}\n"

    def test_a_front_end_that_is_not_installed_names_its_extra(self) -> None:
        source = """
            import sys
            sys.modules["tensorflow"] = None
            from rmsprop.cli import main
            sys.stderr = sys.stdout
            print(main(["bench", "--frontend", "tf_keras"]))
        """
        expected = 'rmsprop bench: error: needs the package tensorflow: pip install ".[tf_keras]"'
        line, code = processes.run(source).splitlines()
        assert (line.startswith(expected), code) == (True, "2")

    def test_a_front_end_that_is_broken_says_why(self, monkeypatch, tmp_path, capsys) -> None:
        (tmp_path / "broken_framework.py").write_text("raise ImportError('libbroken.so is missing')\n")
        monkeypatch.syspath_prepend(tmp_path)
        broken = FRONTENDS["numpy"].ours._replace(modules=("broken_framework",))
        monkeypatch.setitem(FRONTENDS, "numpy", FRONTENDS["numpy"]._replace(ours=broken))
        assert main(["bench", "--peer", "none"]) == 2
        assert capsys.readouterr().err == "rmsprop bench: error: --frontend numpy: libbroken.so is missing\n"


def parse(*arguments: str):
    import argparse

    from rmsprop.cli import bench

    parser = argparse.ArgumentParser()
    bench.add_parser(parser.add_subparsers())
    return parser.parse_args(["bench", *arguments])


def figure(kind: str, model: str, variant: str, peer: str, seconds: float) -> dict[str, object]:
    times = {"seconds": seconds, "seconds_p10": seconds, "seconds_p90": seconds, "samples": 1}
    row = {"kind": kind, "frontend": "tf_keras", "model": model, "variant": variant, "tensors": 6, "numbers": 4996}
    return {**row, "peer": peer, **times, "ratio": seconds / 0.001}


def peak(variant: str, peer: str, first: int | None, later: int | None) -> dict[str, object]:
    row = {"kind": "memory", "frontend": "tf_keras", "model": "resnet50", "variant": variant, "peer": peer}
    sizes = {"largest_tensor_bytes": 10_000_000, "bucket_bytes": 64_000_000}
    return row | sizes | {"first_bytes": first, "later_bytes": later, "kept_bytes": later}


WORK = [("step", "mlp", "plain"), ("eager", "mlp", "plain"), ("fit", "classifier", "plain")]
WORK += [("fit", "classifier", "everything"), ("embedding", "table", "plain")]
ROWS = [
    figure(*work, peer, seconds)
    for place, work in enumerate(WORK)
    for peer, seconds in ((OURS, 0.001), ("tf_keras", 0.003 + place / 1000))
]
ROWS += [peak("plain", OURS, 200_000_000, 300_000_000), peak("plain", "tf_keras", 180_000_000, 170_000_000)]
ROWS += [peak("everything", OURS, None, None)]
MACHINE = {"processor": "P", "cores": 2, "threads": 2, "system": "S", "settings": {}, "versions": {"Python": "3"}}


class TestShowing:
    def test_every_row_is_shown_and_drawn(self, tmp_path: Path) -> None:
        source, plot = tmp_path / "bench.json", tmp_path / "bench.png"
        source.write_text(json.dumps({"format": 1, "machine": MACHINE, "left_out": {}, "rows": ROWS}))
        with redirect_stdout(StringIO()) as printed:
            assert main(["bench", "--from", str(source), "--plot", str(plot), "--json", str(tmp_path / "again")]) == 0
        shown = " ".join(printed.getvalue().split())
        for title, ratio in (
            ("mlp: 6 tensors, 4,996 numbers", "3.00"),
            ("mlp, eagerly: 6 tensors", "4.00"),
            ("classifier, a whole step of fit: 6 tensors", "5.00"),
            ("table, few rows a step: 6 tensors", "7.00"),
        ):
            assert title in shown
            assert f"{ratio} " in shown[shown.index(title) :]
        assert "the largest tensor has 10.0 MB, a bucket 64.0 MB" in shown
        assert "plain rmsprop 200 MB 300 MB 300 MB tf_keras 180 MB 170 MB 170 MB" in shown
        assert "everything rmsprop unknown unknown unknown" in shown
        assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert json.loads((tmp_path / "again").read_text())["rows"] == ROWS

    def test_the_documentations_tables_are_made_of_them(self, tmp_path: Path, monkeypatch, capsys) -> None:
        table = load_table()
        path = tmp_path / "tf_keras.json"
        path.write_text(json.dumps({"rows": [row for row in ROWS if row.get("first_bytes", 0) is not None]}))
        monkeypatch.setattr("sys.argv", ["table.py", str(path)])
        table.main()
        printed = capsys.readouterr().out.replace("\u00d7", "x")
        assert [line for line in printed.splitlines() if "classifier" in line or "784" in line] == [
            "| `fit`, a whole step | 784-1024-1024-10, 1.9 M | plain | 1 ms | 5.0 x |",
            "| `fit`, a whole step | 784-1024-1024-10, 1.9 M | everything | 1 ms | 6.0 x |",
        ]
        assert "| eager | MLP, 6 tensors, 5 k | plain | 1 ms | 4.0 x |" in printed
        assert "| ResNet-50, 161 tensors, 25.6 M | plain | 300 MB | 180 MB | 318 MB |" in printed

    def test_torchs_tables_have_a_column_for_each_peer_that_was_measured(
        self, tmp_path: Path, monkeypatch, capsys
    ) -> None:
        peers = {OURS: 0.001, "torch": 0.004, "torch-compiled": 0.002, "bitsandbytes": 0.003}
        rows = [
            figure("step", "mlp", variant, peer, peers[peer]) for variant in ("plain", "momentum") for peer in peers
        ]
        rows = [row for row in rows if (row["variant"], row["peer"]) != ("momentum", "bitsandbytes")]
        rows += [
            {"kind": "limit", "model": "flat100m", "variant": "plain", "loop": loop, "bytes": 2_000_000_000}
            | {"seconds": seconds, "part_of_limit": 0.001 / seconds}
            for loop, seconds in ((OURS, 0.002), ("torch.Tensor.copy_", 0.001))
        ]
        rows += [
            {"kind": "allocation", "model": "flat25m", "variant": "plain", "peer": peer, "resident_bytes": size}
            for peer, size in ((OURS, 4096), ("torch", 100_000_000), ("torch-compiled", None))
        ]
        path = tmp_path / "torch.json"
        path.write_text(json.dumps({"rows": [row | {"frontend": "torch"} for row in rows]}))
        monkeypatch.setattr("sys.argv", ["table.py", str(path)])
        load_table().main()
        printed = capsys.readouterr().out.replace("\u00d7", "x")
        names = "rmsprop | torch.optim, for-loop | torch.optim, `torch.compile`"
        assert f"| | | {names} | bitsandbytes |" in printed
        assert "| MLP, 6 tensors, 5 k | plain | 1 ms | 4.0 x | 2.0 x | 3.0 x |" in printed
        assert "| MLP, 6 tensors, 5 k | momentum | 1 ms | 4.0 x | 2.0 x |  |" in printed
        assert "| one tensor, 100 M | moved |" in printed
        assert "| plain | 2000 MB | 1 ms (torch.Tensor.copy_) | 2 ms | 50% |" in printed
        assert f"| one tensor, 25 M | {names} |" in printed
        assert "| plain | 0 MB | 100 MB |  |" in printed

    def test_every_model_has_a_name_in_the_tables(self) -> None:
        table = load_table()
        assert set(table.WORK) == set(KINDS)
        assert set(table.WORKED) == {model for workload in WORKLOADS.values() for model in workload.models}


def load_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", TABLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
