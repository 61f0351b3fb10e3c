"""The benchmark under encodings that cannot say all of what it prints, and with nobody who reads it."""

import json
import os
import subprocess
import sys

import pytest
from bench_runs import RUN
from encodings_of_terminals import run_under, slow

STEP = ["--peer", "none", "--model", "mlp", "--variant", "plain", "--part", "steps", "--repeat", "1"]


@pytest.mark.parametrize("encoding", ["gbk", *slow("ascii", "utf-8", "shift_jis", "cp437", "ascii:strict", "C")])
def test_shows_and_writes_its_figures(tmp_path, encoding):
    code, shown, errors = run_under(encoding, [RUN, *STEP, "--json", "figures.json"], tmp_path)
    assert (code, errors) == (0, "")
    (row,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert row["seconds"] < 1e-3, "nothing of this in microseconds"
    unit = "µs" if encoding in ("utf-8", "cp437") else "us"
    (line,) = [line for line in shown.splitlines() if "plain" in line]
    assert f" {unit}" in line
    assert "written: figures.json" in shown


@pytest.mark.parametrize("encoding", ["gbk", *slow("ascii", "C", "utf-8")])
def test_figures_are_shown_again(tmp_path, encoding):
    """Of a machine whose name says more than the encoding, and in a folder that does."""
    row = {"kind": "step", "frontend": "numpy", "model": "mlp", "variant": "plain", "tensors": 1, "numbers": 1}
    row |= {"peer": "rmsprop", "ratio": 1.0, "seconds": 2e-5, "seconds_p10": 1e-5, "seconds_p90": 3e-5, "samples": 1}
    machine = {"processor": "Prozessor® \N{GRINNING FACE}", "cores": 1, "threads": 1, "system": "", "settings": {}}
    figures = {"machine": machine | {"versions": {}}, "left_out": {}, "rows": [row], "format": 1}
    (tmp_path / "größe.json").write_text(json.dumps(figures))
    code, shown, errors = run_under(encoding, [RUN, "--from", "größe.json", "--json", "copy.json"], tmp_path)
    assert (code, errors) == (0, "")
    assert "20.0 us" in shown or "20.0 µs" in shown
    assert json.loads((tmp_path / "copy.json").read_text()) == figures


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe in another way")
def test_what_was_measured_is_written_though_the_reader_is_gone(tmp_path):
    """As through `head -1`."""
    command = [sys.executable, RUN, *STEP, "--json", "figures.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=300) != 0
    (row,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert row["kind"] == "step"
