"""Cost against work: the points, a point measured in a process of its own, and how the rows are shown and drawn."""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest
from bench_runs import ROWS

import table
from bench import scaling
from bench.command import main
from bench.models import count_numbers
from bench.peers import FRONTENDS, OURS, PEERS
from bench.processes import measure_in_child


def test_points_go_from_few_to_many():
    found = scaling.points("tf_keras")
    for axis in ("numbers", "tensors", "threads", "table"):
        values = [getattr(point, scaling.column(axis)) for point in found if point.axis == axis]
        assert values == sorted(set(values))
    numbers, tensors = ([getattr(one, axis) for one in found if one.axis == axis] for axis in ("numbers", "tensors"))
    assert (numbers[0], numbers[-1], tensors[0], tensors[-1]) == (5_000, 100_000_000, 10, 5_000)
    tables = [scaling.shapes(point) for point in found if point.axis == "table"]
    assert (tables[0], tables[-1]) == ([(5_000, 64)], [(1_000_000, 64)])
    assert {point.axis for point in scaling.points("torch")} == {"numbers", "tensors", "threads"}
    for point in found:
        shapes = scaling.shapes(point)
        assert (len(shapes), count_numbers(shapes)) == (point.tensors, point.numbers)


def test_peers_are_of_the_front_ends():
    assert set(scaling.DEFAULT_PEERS) == set(FRONTENDS)
    assert {peer for peers in scaling.DEFAULT_PEERS.values() for peer in peers} <= set(PEERS)


@pytest.mark.slow
def test_a_run_has_a_row_for_each_point(monkeypatch, tmp_path):
    """Each in a process of its own, which must be told the threads before it does a step."""
    few = [scaling.Point("numbers", 60, 3, 1), scaling.Point("numbers", 600, 3, 1), scaling.Point("threads", 600, 3, 2)]
    monkeypatch.setattr(scaling, "points", lambda frontend: few)
    path, plot = tmp_path / "scaling.json", tmp_path / "scaling.png"
    with redirect_stdout(StringIO()) as printed:
        command = ["--part", "scaling", "--peer", "none", "--repeat", "2"]
        assert main([*command, "--json", str(path), "--plot", str(plot)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [tuple(row[name] for name in scaling.Point._fields) for row in rows] == few
    for row in rows:
        assert set(row) - {"kind"} == ROWS["scaling"]
        assert (row["peer"], row["ratio"], row["samples"]) == (OURS, 1.0, 2)
        assert 0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"]
    assert "a plain step by threads" in printed.getvalue()
    assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_documentations_table_has_a_line_for_each_point():
    common = {"kind": "scaling", "frontend": "torch", "axis": "numbers", "tensors": 10, "threads": 2}
    rows = [
        {**common, "numbers": numbers, "peer": peer, "seconds": seconds, "ratio": seconds / 0.001}
        for numbers in (5_000, 50_000)
        for peer, seconds in ((OURS, 0.001), ("torch", 0.003))
    ]
    (shown,) = table.tables([{"rows": rows}])
    assert shown.replace("\u00d7", "x").splitlines() == [
        "| numbers | tensors | threads | rmsprop | torch.optim, for-loop |",
        "|---:|---:|---:|---:|---:|",
        "| 5,000 | 10 | 2 | 1 ms | 3.0 x |",
        "| 50,000 | 10 | 2 | 1 ms | 3.0 x |",
    ]


def test_a_table_is_no_number_of_tensors():
    row = {"kind": "scaling", "frontend": "tf_keras", "axis": "table", "tensors": 1, "threads": 2, "numbers": 64_000}
    (shown,) = table.tables([{"rows": [row | {"peer": OURS, "seconds": 0.001, "ratio": 1.0}]}])
    assert shown.splitlines()[-1] == "| 64,000 | table | 2 | 1 ms |"
    assert (scaling.column("table"), scaling.column("tensors")) == ("numbers", "tensors")


@pytest.mark.slow
def test_a_point_of_a_table_is_measured_of_those_who_have_one():
    point = scaling.Point("table", 64 * 8, 1, 1)
    found = measure_in_child("scaling", "tf_keras", "tf_keras,floor-tf_keras", *map(str, point), "0.1", "2")
    assert [row["peer"] for row in found["rows"]] == [OURS, "tf_keras"]
