"""`rmsprop train` under encodings that cannot say all of what it prints."""

import json

import pytest
from encodings_of_terminals import run_under, slow

TRAIN = ["-m", "rmsprop", "train", "--epochs", "1", "--hidden", "4"]


@pytest.mark.parametrize("encoding", ["ascii", *slow("gbk", "C", "utf-8")])
def test_training_says_where_its_files_are(tmp_path, encoding):
    arguments = [*TRAIN, "--out", "größe \N{GRINNING FACE}", "--json", "figures.json"]
    code, shown, errors = run_under(encoding, arguments, tmp_path)
    assert (code, errors) == (0, "")
    assert "test accuracy" in shown
    assert "curves.png" in shown
    assert json.loads((tmp_path / "figures.json").read_text())["epochs"] == 1


@pytest.mark.parametrize("encoding", ["ascii", *slow("gbk", "C")])
def test_an_error_is_a_line(tmp_path, encoding):
    code, shown, errors = run_under(encoding, ["-m", "rmsprop", "train", "--resume", "--out", "größe"], tmp_path)
    assert (code, shown) == (2, "")
    assert "there is no checkpoint" in errors
    assert "Traceback" not in errors
