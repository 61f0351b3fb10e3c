"""A run of the benchmark without any framework: what it writes and shows, and what it refuses."""

import json
import os
import re
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy
import processes
import pytest
from bench_runs import RUN, rows_of
from matplotlib import image

from bench import machine, startup
from bench.command import main
from bench.contenders import Contender
from bench.contenders.numpy import Ours
from bench.models import MODELS, VARIANTS, make_task
from bench.peers import OURS, PEERS, Peer

NUMPY = {"step": Ours}
KINDS = rows_of("step", "startup", "allocation")


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
    """Run the benchmark in this process and return what it printed."""
    with redirect_stdout(StringIO()) as printed:
        assert main([*map(str, arguments)]) == 0
    return printed.getvalue()


@pytest.mark.slow
class TestARun:
    def test_rows_have_what_they_should(self, figures: SimpleNamespace) -> None:
        rows = figures.entries["rows"]
        assert {row["kind"] for row in rows} == set(KINDS)
        for row in rows:
            assert set(row) - {"kind", "baseline_seconds"} == KINDS[row["kind"]]
        assert [(row["model"], row["peer"]) for row in rows if row["kind"] == "step"] == [("mlp", OURS), ("dqn", OURS)]
        assert all(0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"] for row in rows if "seconds" in row)

    def test_tells_machine_and_versions(self, figures: SimpleNamespace) -> None:
        described = figures.entries["machine"]
        parts = {"processor", "cores", "threads", "system", "settings", "commit", "versions", "busy_elsewhere"}
        assert set(described) - {"nice"} == parts
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
            main(arguments)
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--peer", "none", "--peer", "torch"], "--peer none goes with no other --peer"),
            (["--device", "cuda"], "--device cuda: the front end numpy runs on cpu"),
            (["--json", "missing/bench.json"], "there is no folder missing"),
            (["--from", "missing.json"], "No such file"),
            (["--from", "wrong.json"], "wrong.json is not a file that the benchmark wrote with --json"),
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
        assert main(arguments) == 2
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
            assert os.environ.get("RMSPROP_NUM_THREADS") == before

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
        assert busy is None or 0 <= busy <= (os.cpu_count() or 1) + 1

    def test_the_parser_loads_nothing_heavy(self) -> None:
        source = """
            import sys
            from bench.command import main
            try:
                main(["--help"])
            except SystemExit:
                pass
            heavy = ("numba", "rich", "matplotlib", "torch", "tensorflow", "jax")
            print([name for name in heavy if name in sys.modules])
        """
        assert processes.run(source, PYTHONPATH=processes.path(RUN.parent)).endswith("[]")

    def test_the_backends_of_keras_that_compute_gradients_are_named(self, monkeypatch, capsys) -> None:
        monkeypatch.setenv("KERAS_BACKEND", "numpy")
        assert main(["--frontend", "keras"]) == 2
        expected = "bench: error: KERAS_BACKEND=numpy: rmsprop.keras runs on jax, tensorflow, torch\n"
        assert capsys.readouterr().err == expected
        assert "keras" not in sys.modules
