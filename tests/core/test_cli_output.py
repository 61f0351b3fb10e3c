"""The command line under encodings that cannot say all of what it prints, and with nobody who reads it."""

import json
import os
import subprocess
import sys

import pytest

BENCH = ["bench", "--peer", "none", "--model", "mlp", "--variant", "plain", "--part", "steps", "--repeat", "1"]
TRAIN = ["train", "--epochs", "1", "--hidden", "4"]

#: A terminal's encoding, by the variables that decide it.
POSIX = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
ENCODINGS = {
    **{name: {"PYTHONIOENCODING": name} for name in ("gbk", "ascii", "utf-8", "shift_jis", "cp437", "ascii:strict")},
    "C": POSIX,
}


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def rmsprop(arguments, encoding, folder):
    command = [sys.executable, "-W", "error", "-m", "rmsprop", *arguments]
    done = subprocess.run(
        command, capture_output=True, env=os.environ | ENCODINGS[encoding], cwd=folder, timeout=300, check=False
    )
    name = {"C": "ascii", "ascii:strict": "ascii"}.get(encoding, encoding)
    return done.returncode, done.stdout.decode(name, "surrogateescape"), done.stderr.decode(name, "surrogateescape")


@pytest.mark.parametrize("encoding", ["gbk", "ascii", *slow("utf-8", "shift_jis", "cp437", "ascii:strict", "C")])
def test_bench_shows_and_writes_its_figures(tmp_path, encoding):
    code, shown, errors = rmsprop([*BENCH, "--json", "figures.json"], encoding, tmp_path)
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
    code, shown, errors = rmsprop(["bench", "--from", "größe.json", "--json", "copy.json"], encoding, tmp_path)
    assert (code, errors) == (0, "")
    assert "20.0 us" in shown or "20.0 µs" in shown
    assert json.loads((tmp_path / "copy.json").read_text()) == figures


@pytest.mark.parametrize("encoding", ["ascii", *slow("gbk", "C", "utf-8")])
def test_training_says_where_its_files_are(tmp_path, encoding):
    arguments = [*TRAIN, "--out", "größe \N{GRINNING FACE}", "--json", "figures.json"]
    code, shown, errors = rmsprop(arguments, encoding, tmp_path)
    assert (code, errors) == (0, "")
    assert "test accuracy" in shown
    assert "curves.png" in shown
    assert json.loads((tmp_path / "figures.json").read_text())["epochs"] == 1


@pytest.mark.parametrize("encoding", ["ascii", *slow("gbk", "C")])
def test_an_error_is_a_line(tmp_path, encoding):
    code, shown, errors = rmsprop(["train", "--resume", "--out", "größe"], encoding, tmp_path)
    assert (code, shown) == (2, "")
    assert "there is no checkpoint" in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe in another way")
def test_what_was_measured_is_written_though_the_reader_is_gone(tmp_path):
    """As through `head -1`."""
    command = [sys.executable, "-m", "rmsprop", *BENCH, "--json", "figures.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=300) != 0
    (row,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert row["kind"] == "step"
