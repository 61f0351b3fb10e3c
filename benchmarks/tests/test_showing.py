"""What is shown and drawn of the rows of every front end, and the tables of the documentation made of them."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import table
from bench.command import main
from bench.peers import OURS
from bench.workloads import KINDS, WORKLOADS


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
            assert main(["--from", str(source), "--plot", str(plot), "--json", str(tmp_path / "again")]) == 0
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
        table.main()
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
        assert set(table.WORK) == set(KINDS)
        assert set(table.WORKED) == {model for workload in WORKLOADS.values() for model in workload.models}
