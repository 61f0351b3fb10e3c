"""Front ends that do more than steps: kinds of work, memory, errors - without any framework."""

import time

import numpy
import processes
import pytest
from bench_runs import RUN

from bench import measure, memory
from bench.command import _peer_names, main, make_parser
from bench.frameworks import reason
from bench.models import VARIANTS, count_numbers
from bench.peers import FRONTENDS, OURS, PEERS
from bench.timing import Budget
from bench.workloads import FIT_STEPS, KINDS, TOUCHED, WORKLOADS, make_fit_task, make_table_task


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


class TestReasons:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("no memory", "no memory"),
            ("\nno compiler\nand a long story", "no compiler"),
            ("", "ValueError"),
            ("only a heading:", "only a heading:"),
            ("Graph error:\n\nDetected at:\n  File 'a', line 3\n\nno row 7\n\t [[a node]]", "no row 7"),
        ],
    )
    def test_are_the_first_line_that_is_no_heading_and_no_place(self, text, expected):
        assert reason(ValueError(text)) == expected


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
            options = make_parser().parse_args(["--frontend", name])
            assert _peer_names(options) == list(frontend.peers)
            assert set(frontend.peers) <= set(PEERS)
            assert all(WORKLOADS[part].kind in frontend.ours.makers for part in frontend.parts if part in WORKLOADS)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["--part", "fit"],
                (
                    "--part fit: of the front end numpy there are "
                    "steps, limit, startup, allocation, train, scaling, pauses"
                ),
            ),
            (["--part", "limit", "--model", "mlp"], "--part limit measures nothing of --model mlp"),
            (["--part", "steps", "--model", "table"], "--part steps measures nothing of --model table"),
        ],
    )
    def test_what_a_front_end_does_not_have_is_said_in_a_line(self, arguments, message, capsys) -> None:
        assert main(["--peer", "none", *arguments]) == 2
        assert capsys.readouterr().err == f"bench: error: {message}\n"

    def test_a_front_end_that_is_not_installed_names_its_extra(self) -> None:
        source = """
            import sys
            sys.modules["tensorflow"] = None
            from bench.command import main
            sys.stderr = sys.stdout
            print(main(["--frontend", "tf_keras"]))
        """
        expected = 'bench: error: needs the package tensorflow: pip install ".[tf-keras]"'
        line, code = processes.run(source, PYTHONPATH=processes.path(RUN.parent)).splitlines()
        assert (line.startswith(expected), code) == (True, "2")

    def test_a_front_end_that_is_broken_says_why(self, monkeypatch, tmp_path, capsys) -> None:
        (tmp_path / "broken_framework.py").write_text("raise ImportError('libbroken.so is missing')\n")
        monkeypatch.syspath_prepend(tmp_path)
        broken = FRONTENDS["numpy"].ours._replace(modules=("broken_framework",))
        monkeypatch.setitem(FRONTENDS, "numpy", FRONTENDS["numpy"]._replace(ours=broken))
        assert main(["--peer", "none"]) == 2
        assert capsys.readouterr().err == "bench: error: --frontend numpy: libbroken.so is missing\n"
