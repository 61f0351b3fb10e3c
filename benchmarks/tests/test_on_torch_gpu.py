"""The run on a CUDA device, as much of it as there is without one: the same code on the CPU, with a few numbers."""

import json
import time

import pytest
import torch
from matplotlib import image

from bench.gpu import command, measure
from bench.gpu.contenders import CONTENDERS, OURS, Contender, moved
from bench.gpu.measure import CASES, COPY, TINY, Session, measure_all
from bench.models import count_numbers
from bench.timing import Budget
from bench.training.jobs import VARIANTS

pytestmark = pytest.mark.slow

#: Those that run without a CUDA device.
ANYWHERE = [name for name, contender in CONTENDERS.items() if not contender.only_on]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A dry run: what it wrote, and the exit code."""
    folder = tmp_path_factory.mktemp("gpu")
    arguments = ["--device", "cpu", "--tiny", "--json", str(folder / "gpu.json"), "--plot", str(folder / "gpu.png")]
    code = command.main(arguments)
    return code, json.loads((folder / "gpu.json").read_text()), folder


class TestADryRun:
    def test_has_a_row_for_each_case_variant_and_contender(self, found):
        code, written, _ = found
        assert code == 0
        expected = [(case, variant, name) for case in TINY for variant in VARIANTS for name in (*ANYWHERE, COPY)]
        assert [(row["case"], row["variant"], row["peer"]) for row in written["rows"]] == expected
        for row in written["rows"]:
            assert 0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"]
            assert row["bytes_per_second"] == pytest.approx(row["bytes"] / row["seconds"])
            if row["peer"] in (OURS, COPY):
                assert row["ratio" if row["peer"] == OURS else "part_of_copy"] == 1
        assert written["not_measured"] == []

    def test_says_why_what_needs_a_device_is_left_out(self, found):
        _, written, _ = found
        assert set(written["left_out"]) == set(CONTENDERS) - set(ANYWHERE)
        assert written["left_out"]["apex-fused"] == "apex needs cuda, this is cpu"

    def test_runs_the_tests_of_the_device(self, found):
        """All of them are skipped here."""
        _, written, _ = found
        tests = written["tests"]
        assert tests["status"] == 0
        assert "skipped" in tests["summary"]
        assert tests["failures"] == []

    def test_names_the_device_and_draws(self, found):
        _, written, folder = found
        assert written["machine"]["device"] == "cpu"
        assert written["machine"]["versions"]["torch"] == torch.__version__
        pixels = image.imread(folder / "gpu.png")
        assert pixels[..., :3].std() > 0.05


def test_bytes_are_those_that_a_step_must_move():
    assert moved(OURS, VARIANTS["plain"], 10) == 10 * 4 * 5
    assert moved(OURS, VARIANTS["centered+momentum+decay"], 10) == 10 * 4 * 9
    assert moved("adamw-fused", VARIANTS["plain"], 10) == 10 * 4 * 7


def test_cases_are_those_of_the_table():
    sizes = {case: count_numbers(shapes) for case, shapes in CASES.items()}
    assert sizes == {"1 M": 1_000_000, "ResNet-50": 25_557_032, "25 M": 25_000_000, "300 M": 300_000_000}


def test_no_device_is_said_in_a_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([]) == 2
    assert "finds no CUDA device here" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "summary"), [(1, "1 failed"), (None, "stopped after 200 s"), (5, "no tests ran")])
def test_a_failure_of_the_tests_is_the_exit_code(monkeypatch, tmp_path, status, summary):
    """As is a kernel that hangs, and tests that were not found."""
    failed = {"status": status, "summary": summary, "failures": [], "seconds": 1.0}
    monkeypatch.setattr(command, "run_tests", lambda limit: failed)
    monkeypatch.setattr(command, "TINY", {})
    files = ["--json", str(tmp_path / "gpu.json"), "--plot", str(tmp_path / "gpu.png")]
    assert command.main(["--device", "cpu", "--tiny", *files]) == 1
    assert json.loads((tmp_path / "gpu.json").read_text())["tests"] == failed


def test_what_there_is_no_time_for_is_named(monkeypatch):
    session, done = Session("cpu", Budget(rounds=1)), []
    monkeypatch.setattr(session, "measure", lambda case, shapes, variant: (done.append(case), time.sleep(0.02)))
    left = iter([10.0, 0.001, 0.0])
    missed = measure_all(session, {"a": [(1,)], "b": [(1,)]}, lambda: next(left))
    assert done == ["a"]
    assert missed == ["a, centered+momentum+decay", "b, plain", "b, centered+momentum+decay"]


def test_figures_until_the_time_is_over_are_written(monkeypatch, tmp_path):
    """A case that would take for ever is stopped."""

    def measured(self, case, shapes, variant):
        self.rows += measure._rows({OURS: [1e-3], COPY: [1e-4]}, case, variant, shapes)
        time.sleep(60)

    monkeypatch.setattr(Session, "measure", measured)
    files = ["--json", str(tmp_path / "gpu.json"), "--plot", str(tmp_path / "gpu.png")]
    start = time.monotonic()
    assert command.main(["--device", "cpu", "--tiny", "--no-tests", "--limit", "17", *files]) == 0
    assert time.monotonic() - start < 30
    written = json.loads((tmp_path / "gpu.json").read_text())
    expected = [f"{case}, {variant} (the time was over)" for case in TINY for variant in VARIANTS]
    assert written["not_measured"] == expected[1:]
    assert len(written["rows"]) == 2


@pytest.mark.parametrize(("name", "code"), [(OURS, 1), ("rmsprop-graph", 1), ("torch-foreach", 0)])
def test_ours_that_fails_is_the_exit_code(monkeypatch, tmp_path, name, code):
    """Also within a CUDA graph; what fails of others is left out."""

    def fail(parameters, options):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(measure, "CONTENDERS", {name: Contender(name, fail, lambda options: 1)})
    files = ["--json", str(tmp_path / "gpu.json"), "--plot", str(tmp_path / "gpu.png")]
    assert command.main(["--device", "cpu", "--tiny", "--no-tests", *files]) == code
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["left_out"][f"{name} (1 k, plain)"] == "RuntimeError: no kernel image is available"


def test_memory_that_is_not_there_leaves_a_contender_out(monkeypatch):
    def fail(parameters, options):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setitem(CONTENDERS, "torch-foreach", CONTENDERS["torch-foreach"]._replace(make=fail))
    monkeypatch.delitem(CONTENDERS, "torch-compiled")
    session = Session("cpu", Budget(0.01, 1))
    session.measure("a", [(8,)], "plain")
    assert session.left_out["torch-foreach (a, plain)"] == "OutOfMemoryError: CUDA out of memory."
    assert [row["peer"] for row in session.rows] == [OURS, "adamw-fused", COPY]
