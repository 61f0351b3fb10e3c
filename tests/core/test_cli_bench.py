"""``rmsprop bench``: what it measures, what it writes and shows, without any peer's framework."""

import json
import platform
import re
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy
import processes
import pytest
from matplotlib import image

from rmsprop import RMSprop
from rmsprop.cli import bench, main
from rmsprop.cli.bench import limit, machine, measure, startup, timing
from rmsprop.cli.bench.contenders import Contender
from rmsprop.cli.bench.contenders.numpy import Ours
from rmsprop.cli.bench.models import MODELS, VARIANTS, count_numbers, make_task, resnet50
from rmsprop.cli.bench.peers import OURS, PEERS, Peer
from rmsprop.cli.bench.timing import Budget

NUMPY = {"step": Ours}
FEW = Budget(rounds=2)

# A row's entries besides those that every measured time has.
TIMES = {"seconds", "seconds_p10", "seconds_p90", "samples"}
ROWS = {
    "step": {"frontend", "model", "variant", "tensors", "numbers", "peer", "ratio"} | TIMES,
    "limit": {"frontend", "model", "variant", "bytes", "loop", "part_of_limit"} | TIMES,
    "startup": {"what", "variant"} | TIMES,
    "allocation": {"model", "variant", "peer", "largest_tensor_bytes", "python_bytes", "resident_bytes"},
}


class TestModels:
    @pytest.mark.parametrize(
        ("model", "tensors", "numbers"),
        [
            ("mlp", 6, 4_996),
            ("dqn", 10, 1_693_362),
            ("resnet50", 161, 25_557_032),
            ("flat25m", 1, 25_000_000),
            ("flat100m", 1, 100_000_000),
        ],
    )
    def test_totals(self, model: str, tensors: int, numbers: int) -> None:
        shapes = MODELS[model]()
        assert (len(shapes), count_numbers(shapes)) == (tensors, numbers)

    def test_resnet_50_has_53_convolutions_each_with_a_batch_norm(self) -> None:
        shapes = resnet50()
        kernels = [index for index, shape in enumerate(shapes) if len(shape) == 4]
        assert len(kernels) == 53
        assert all(shapes[index + 1] == shapes[index + 2] == shapes[index][:1] for index in kernels)
        assert shapes[0] == (64, 3, 7, 7)
        assert shapes[-2:] == [(1000, 2048), (1000,)]

    def test_variants_hold_what_they_say(self) -> None:
        for options in VARIANTS.values():
            RMSprop(**options)
        assert VARIANTS["plain"] == {}
        everything = {"momentum", "centered", "weight_decay", "global_clipnorm", "use_ema", "ema_overwrite_frequency"}
        assert set(VARIANTS["everything"]) == everything

    @pytest.mark.parametrize("model", ["mlp", "dqn"])
    def test_everything_clips(self, model: str) -> None:
        task = make_task(MODELS[model](), VARIANTS["everything"])
        norm = sum(float(numpy.vdot(gradient, gradient)) for gradient in task.gradients) ** 0.5
        assert norm > 1.3 * task.options["global_clipnorm"]


class TestTiming:
    def test_each_contender_follows_each_other_and_is_first_equally_often(self) -> None:
        names = ["a", "b", "c", "d"]
        orders = [timing._order(names, turn) for turn in range(8)]
        assert all(sorted(order) == names for order in orders)
        assert sorted(order[0] for order in orders) == sorted(2 * names)
        before = {(one, other) for order in orders for one, other in pairwise(order)}
        assert {(one, other) for one in "abcd" for other in "abcd" if abs(ord(one) - ord(other)) == 1} <= before

    def test_figures_are_seconds_a_call(self) -> None:
        calls = {"slow": 0, "fast": 0}

        def step(name: str, seconds: float) -> None:
            calls[name] += 1
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass

        steps = {"slow": lambda: step("slow", 6e-3), "fast": lambda: step("fast", 2e-4)}
        times = timing.interleave(steps, Budget(rounds=3))
        assert {name: len(figures) for name, figures in times.items()} == {"slow": 3, "fast": 3}
        assert min(times["slow"]) >= 6e-3
        assert min(times["fast"]) >= 2e-4
        assert min(times["fast"]) < 2e-3  # of one call, not of a turn
        assert calls["slow"] < 10 < calls["fast"]

    def test_figures_hold_what_was_ordered_and_is_done_later(self) -> None:
        """As on a device that is waited for once a turn."""
        ordered = []

        def wait() -> None:
            time.sleep(1e-3 * len(ordered))
            ordered.clear()

        (times,) = timing.interleave({"later": lambda: ordered.append(1)}, Budget(rounds=3), wait).values()
        assert all(1e-3 <= seconds < 1e-2 for seconds in times)

    def test_a_budget_of_seconds_has_a_least_number_of_rounds(self) -> None:
        budget = Budget(seconds=2.0)
        assert not budget.spent(rounds=6, seconds=5.9)
        assert budget.spent(rounds=7, seconds=2.0)
        assert not budget.spent(rounds=7, seconds=1.9)
        assert not budget.spent(rounds=2, seconds=60.0)
        assert budget.spent(rounds=3, seconds=6.0)

    @pytest.mark.parametrize(("spinning", "waits"), [(0.0, 0.001), (0.06, 0.061), (1e9, 0.2)])
    def test_waits_for_threads_that_spin_but_not_for_ever(self, monkeypatch, spinning: float, waits: float) -> None:
        now = 0.0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        clock = SimpleNamespace(sleep=sleep, perf_counter=lambda: now, process_time=lambda: min(now, spinning))
        monkeypatch.setattr(timing, "time", clock)
        timing.settle()
        assert now == pytest.approx(waits, abs=0.0011)

    def test_medians_and_ratios(self) -> None:
        row = timing.summary([3.0, 1.0, 2.0, 4.0, 5.0])
        assert row == {"seconds": 3.0, "seconds_p10": 1.4, "seconds_p90": 4.6, "samples": 5}
        assert timing.summary([2.0])["seconds_p90"] == 2.0
        assert timing.ratio([2.0, 30.0, 6.0], [1.0, 10.0, 1.0]) == 3.0


class TestLimit:
    @pytest.mark.parametrize("count", limit.TOGETHER)
    def test_loops_move_vectors(self, count: int) -> None:
        arrays = [numpy.full(1000, value, numpy.float32) for value in range(1, count + 2)]
        limit.TOGETHER[count](*arrays)
        for value, array in enumerate(arrays[1:], start=2):
            assert (array == value + 1).all()
        assert_vectorised(limit.TOGETHER[count], "add")

    def test_the_sum_of_squares_moves_vectors(self) -> None:
        assert limit.square_sum(numpy.full(1000, 2, numpy.float32)) == 4000
        assert_vectorised(limit.square_sum, "(mul|fmadd|fmla)")

    def test_the_loop_in_blocks_reaches_every_number(self) -> None:
        arrays = [numpy.full(1000, value, numpy.float32) for value in (1, 2, 3)]
        limit.one_by_one(256, *arrays)
        assert [set(array.tolist()) for array in arrays] == [{1.0}, {3.0}, {4.0}]

    @pytest.mark.parametrize("threads", [1, 3])
    def test_every_loop_covers_all_parts(self, threads: int) -> None:
        with limit.Memory(10_007, 2, norm=True, threads=threads) as memory:
            memory._gradient.fill(1)
            for name, loop in memory.loops(torch=False).items():
                before = [state.copy() for state in memory._states]
                loop()
                if name != "numpy.copyto":
                    pairs = zip(before, memory._states, strict=True)
                    assert all((state == old + 1).all() for old, state in pairs), name

    @pytest.mark.parametrize(("variant", "passes"), [("plain", 5), ("momentum", 7), ("everything", 12)])
    def test_counts_what_a_step_must_move(self, variant: str, passes: int) -> None:
        rows = measure.measure_limit("numpy", 100_000, variant, FEW, torch=False)
        assert {row["bytes"] for row in rows} == {passes * 400_000}
        loops = [row for row in rows if row["loop"] != OURS]
        assert len(loops) == len(rows) - 1
        best = min(loops, key=lambda row: row["seconds"])
        assert best["part_of_limit"] == 1
        assert all(row["part_of_limit"] > 0 for row in rows)


def assert_vectorised(function: SimpleNamespace, operation: str) -> None:
    """Look for the operation on several float32 at a time in the machine code."""
    assembly = "\n".join(function.inspect_asm().values())
    registers = {"x86_64": rf"v?{operation}.*ps\b.*[xyz]mm", "arm64": rf"f?{operation}.*\.4s", "aarch64": None}
    pattern = registers.get(platform.machine()) or registers["arm64"]
    assert re.search(pattern, assembly), "no vector instruction"


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A small run of every part but the limit, whose loops want large arrays: what it printed and wrote."""
    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    patch.setattr(startup, "_REPEATS", 1)
    patch.setattr(startup, "_SLOW_REPEATS", 1)
    small = lambda: [(3, 5), (5,)]  # noqa: E731
    patch.setitem(MODELS, "flat25m", small)
    patch.setattr(machine.Watch, "busy_elsewhere", lambda self: 0.0)
    try:
        arguments = ["--peer", "none", "--model", "mlp", "--model", "dqn", "--variant", "plain", "--repeat", "3"]
        printed = run(*arguments, "--json", folder / "bench.json", "--plot", folder / "bench.png")
    finally:
        patch.undo()
    entries = json.loads((folder / "bench.json").read_text())
    return SimpleNamespace(printed=printed, entries=entries, json=folder / "bench.json", plot=folder / "bench.png")


def run(*arguments: object) -> str:
    """Run the command in this process and give what it printed."""
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as printed:
        assert main(["bench", *map(str, arguments)]) == 0
    return printed.getvalue()


class TestARun:
    def test_rows_have_what_they_should(self, figures: SimpleNamespace) -> None:
        rows = figures.entries["rows"]
        assert {row["kind"] for row in rows} == set(ROWS) - {"limit"}
        for row in rows:
            assert set(row) - {"kind", "baseline_seconds"} == ROWS[row["kind"]]
        assert [(row["model"], row["peer"]) for row in rows if row["kind"] == "step"] == [("mlp", OURS), ("dqn", OURS)]
        assert all(0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"] for row in rows if "seconds" in row)

    def test_tells_machine_and_versions(self, figures: SimpleNamespace) -> None:
        described = figures.entries["machine"]
        parts = {"processor", "cores", "threads", "system", "settings", "commit", "versions", "busy_elsewhere"}
        assert set(described) == parts
        assert {"Python", "rmsprop", "numpy", "numba"} == set(described["versions"])
        assert f"numpy {numpy.__version__}" in figures.printed
        assert described["processor"] in figures.printed

    def test_shows_tables(self, figures: SimpleNamespace) -> None:
        assert "mlp: 6 tensors, 4,996 numbers" in figures.printed
        assert re.search(r"plain +rmsprop +\d[\d.]* [mµ]s .* 1\.00", figures.printed)
        assert "import rmsprop" in figures.printed
        assert f"written: {figures.json}" in figures.printed

    def test_start_up_rows_are_beyond_numba(self, figures: SimpleNamespace) -> None:
        rows = {row["what"]: row for row in figures.entries["rows"] if row["kind"] == "startup"}
        cached, empty = rows["first step, kernels cached"], rows["first step, nothing cached"]
        assert cached["baseline_seconds"] == rows["importing Numba, calling a cached function"]["seconds"]
        assert cached["seconds"] < empty["seconds"]

    def test_a_step_takes_no_memory_of_a_tensors_size(self, figures: SimpleNamespace) -> None:
        (row,) = [row for row in figures.entries["rows"] if row["kind"] == "allocation"]
        assert (row["model"], row["largest_tensor_bytes"]) == ("dqn", 512 * 3136 * 4)
        # Measured: 3 to 20 kB in Python, 12 kB resident.
        assert row["python_bytes"] < 100_000
        assert row["resident_bytes"] is None or row["resident_bytes"] < 400_000

    def test_the_plot_is_a_picture(self, figures: SimpleNamespace) -> None:
        assert figures.plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        pixels = image.imread(figures.plot)
        assert pixels.shape[0] > 400
        assert pixels.shape[1] > 1000
        assert (pixels[0, 0, :3] == 1).all()  # a light background
        assert pixels[..., :3].std() > 0.05

    def test_is_drawn_again_from_its_file(self, figures: SimpleNamespace, tmp_path) -> None:
        shown = run("--from", figures.json, "--plot", tmp_path / "again.png", "--json", tmp_path / "again.json")
        assert (tmp_path / "again.png").read_bytes() == figures.plot.read_bytes()
        assert json.loads((tmp_path / "again.json").read_text()) == figures.entries

        def words(text: str) -> list[str]:
            return sorted(word for word in text.split() if not word.startswith("/"))

        assert words(shown) == words(figures.printed)


class TestPeers:
    def test_one_that_is_not_installed_is_named(self, monkeypatch, tmp_path) -> None:
        monkeypatch.setitem(PEERS, "lost", Peer("Lost", ("no_such_framework",), NUMPY))
        monkeypatch.setitem(PEERS, "old", Peer("Old", (), NUMPY, lambda device: "version 1 has no RMSprop"))
        monkeypatch.setitem(PEERS, "twin", Peer("Twin", (), NUMPY))
        path = tmp_path / "bench.json"
        arguments = ["--model", "mlp", "--variant", "momentum", "--part", "steps", "--repeat", 2, "--json", path]
        printed = run("--peer", "lost", "--peer", "old", "--peer", "twin", *arguments)
        assert "left out: lost (not installed: No module named 'no_such_framework')" in printed
        assert "left out: old (version 1 has no RMSprop)" in printed
        entries = json.loads(path.read_text())
        assert set(entries["left_out"]) == {"lost", "old"}
        assert [row["peer"] for row in entries["rows"]] == [OURS, "twin"]
        # The same optimizer twice, on a machine with other work.
        assert 0.1 < entries["rows"][1]["ratio"] < 10

    def test_a_broken_one_shows_what_it_wrote(self, monkeypatch, tmp_path, capfd) -> None:
        broken = "import os\nos.write(2, b'chatter')\nraise ImportError('libbroken.so is missing')\n"
        (tmp_path / "broken_framework.py").write_text(broken)
        (tmp_path / "noisy_framework.py").write_text("import os\nos.write(2, b'chatter')\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(PEERS, "broken", Peer("Broken", ("broken_framework",), NUMPY))
        monkeypatch.setitem(PEERS, "noisy", Peer("Noisy", ("noisy_framework",), NUMPY))
        arguments = ["--model", "mlp", "--variant", "plain", "--part", "steps", "--repeat", 1]
        assert "left out: broken (libbroken.so is missing)" in run("--peer", "broken", *arguments)
        assert capfd.readouterr().err == "chatter"
        assert "left out" not in run("--peer", "noisy", *arguments)
        assert capfd.readouterr().err == ""

    def test_ours_moves_every_tensor(self) -> None:
        task = make_task(MODELS["mlp"](), VARIANTS["everything"])
        contender: Contender = Ours(task)
        contender.step()
        pairs = zip(contender.weights(), task.variables, strict=True)
        assert all((after != before).all() for after, before in pairs)


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--repeat", "0"], "'0' is not a whole number above 0"),
            (["--seconds", "inf"], "'inf' is not a number above 0"),
            (["--model", "vgg"], "invalid choice: 'vgg'"),
        ],
    )
    def test_nonsense_is_refused(self, arguments: list[str], message: str, capsys) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["bench", *arguments])
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--peer", "none", "--peer", "torch"], "--peer none goes with no other --peer"),
            (["--device", "cuda"], "--device cuda: the front end numpy runs on cpu"),
            (["--json", "missing/bench.json"], "there is no folder missing"),
            (["--from", "missing.json"], "No such file"),
            (["--from", "wrong.json"], "wrong.json is not a file that `rmsprop bench --json` wrote"),
            (["--from", "newer.json"], "newer.json has the format 99, this version reads 1"),
            (["--from", "empty.json", "--plot", "x.png"], "there are no steps among the figures"),
        ],
    )
    def test_what_cannot_be_is_said_in_a_line(self, arguments, message, capsys, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "wrong.json").write_text("[1, 2]")
        (tmp_path / "newer.json").write_text('{"format": 99}')
        described = {"processor": "", "cores": 1, "threads": 1, "system": "", "settings": {}, "versions": {}}
        (tmp_path / "empty.json").write_text(json.dumps({"format": 1, "machine": described}))
        assert main(["bench", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    def test_threads_are_set_for_the_run_alone(self, monkeypatch, tmp_path) -> None:
        arguments = ["--model", "mlp", "--variant", "plain", "--part", "steps", "--peer", "none", "--repeat", 1]
        for before in ("7", None):
            monkeypatch.delenv("RMSPROP_NUM_THREADS", raising=False)
            if before:
                monkeypatch.setenv("RMSPROP_NUM_THREADS", before)
            run(*arguments, "--threads", 3, "--json", tmp_path / "bench.json")
            described = json.loads((tmp_path / "bench.json").read_text())["machine"]
            assert (described["threads"], described["settings"]["RMSPROP_NUM_THREADS"]) == (3, "3")
            assert bench.os.environ.get("RMSPROP_NUM_THREADS") == before

    def test_a_busy_machine_is_told(self, monkeypatch, tmp_path) -> None:
        arguments = ["--model", "mlp", "--variant", "plain", "--part", "steps", "--peer", "none", "--repeat", 1]
        monkeypatch.setattr(machine.Watch, "busy_elsewhere", lambda self: 0.52)
        assert "other processes kept 0.52 cores busy" in run(*arguments)
        monkeypatch.setattr(machine.Watch, "busy_elsewhere", lambda self: 0.02)
        assert "busy" not in run(*arguments)

    def test_watch_counts_other_processes(self) -> None:
        watch = machine.Watch()
        time.sleep(0.05)
        busy = watch.busy_elsewhere()
        assert busy is None or 0 <= busy <= (bench.os.cpu_count() or 1) + 1

    def test_the_parser_loads_nothing_heavy(self) -> None:
        source = """
            import sys
            from rmsprop.cli import main
            try:
                main(["bench", "--help"])
            except SystemExit:
                pass
            heavy = ("numba", "rich", "matplotlib", "torch", "tensorflow", "jax")
            print([name for name in heavy if name in sys.modules])
        """
        assert processes.run(source).endswith("[]")
