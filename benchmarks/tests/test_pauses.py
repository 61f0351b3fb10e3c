"""Steps after pauses: who waits how long before which steps, and how the figures are shown."""

import json
import time
from contextlib import redirect_stdout
from io import StringIO

import pytest
from bench_runs import ROWS

import table
from bench import pauses
from bench.command import main
from bench.peers import OURS
from bench.timing import Budget

DECAY = "centered+momentum+decay"


def test_each_pause_is_between_steps_of_a_contender(monkeypatch):
    """They take turns in an order that changes."""
    done = []
    monkeypatch.setattr(pauses, "PAUSES", (0.0, 0.01))
    monkeypatch.setattr(pauses, "settle", lambda: done.append("settle"))
    monkeypatch.setattr(time, "sleep", done.append)
    steps = {name: lambda name=name: done.append(name) for name in "ab"}
    found = pauses.time_steps(steps, Budget(rounds=2))
    a, b = pauses.STEPS * ["a"], pauses.STEPS * ["b"]
    warm = [*a, *b]
    first = ["settle", *a, *a, "settle", *b, *b, "settle", *a, 0.01, *a, "settle", *b, 0.01, *b]
    second = ["settle", *b, 0.01, *b, "settle", *a, 0.01, *a, "settle", *b, *b, "settle", *a, *a]
    assert done == warm + first + second
    assert {key: len(seconds) for key, seconds in found.items()} == {
        (pause, name): 2 for pause in (0.0, 0.01) for name in "ab"
    }


def test_a_step_is_a_part_of_those_that_are_timed(monkeypatch):
    now = [7.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def step():
        now[0] += 0.5

    assert pauses._several(step) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variant", DECAY], f"--variant {DECAY} goes with --part train, not with pauses"),
        (["--peer", "torch.compile"], "--peer torch.compile goes with --part train, not with pauses"),
        (["--frontend", "torch", "--device", "cuda"], "--device cuda: --part pauses is measured on cpu"),
        (["--plot", "x.png"], "--plot: there is no picture of --part pauses"),
        (["--peer", "none", "--model", "table"], "--part pauses measures nothing of --model table"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(arguments, message, capsys):
    assert main(["--part", "pauses", *arguments]) == 2
    assert capsys.readouterr().err == f"bench: error: {message}\n"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A run of each variant, in a process of its own."""
    path = tmp_path_factory.mktemp("pauses") / "pauses.json"
    with redirect_stdout(StringIO()) as printed:
        command = ["--part", "pauses", "--peer", "none", "--model", "mlp", "--threads", "1", "--repeat", "2"]
        assert main([*command, "--json", str(path)]) == 0
    return json.loads(path.read_text())["rows"], printed.getvalue()


@pytest.mark.slow
def test_a_run_has_a_row_for_each_pause(figures):
    rows, printed = figures
    places = [(row["variant"], row["pause"], row["peer"]) for row in rows]
    assert places == [(variant, pause, OURS) for variant in ("plain", "everything") for pause in pauses.PAUSES]
    for row in rows:
        assert set(row) - {"kind"} == ROWS["pauses"]
        assert (row["model"], row["tensors"], row["steps"], row["samples"]) == ("mlp", 6, pauses.STEPS, 2)
        assert 0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"]
        assert row["ratio"] == 1.0 or row["peer"] != OURS
    assert "mlp: each of the first 5 steps after a pause" in printed
    assert [line.split()[1] for line in printed.splitlines() if line.startswith(" plain")] == ["none"]


def test_the_documentations_table_has_a_line_for_each_front_end_and_variant():
    common = {"kind": "pauses", "frontend": "jax", "variant": "everything"}
    rows = [
        {**common, "pause": pause, "peer": peer, "seconds": seconds, "ratio": seconds / 0.001}
        for pause in (0.0, 0.03)
        for peer, seconds in ((OURS, 0.001), ("optax", 0.003), ("other", 0.0021))
    ]
    (shown,) = table.tables([{"rows": rows}])
    assert shown.replace("\u00d7", "x").splitlines() == [
        "| | | after other steps | after 30 ms |",
        "|---|---|---:|---:|",
        "| JAX | everything | 1 ms (2.1 x) | 1 ms (2.1 x) |",
    ]
