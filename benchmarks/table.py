"""Print the tables of the documentation from a measurement: ``python benchmarks/table.py benchmarks/numpy.json``.

Of Keras 3 there is one for each backend, and all are given: they stand beside each other.

``python benchmarks/run.py --json FILE`` makes such a file; ``tests/core/test_docs.py`` holds the documentation to the
one here.
"""

import json
import sys
from pathlib import Path
from typing import Any

import train_table
from train_table import seconds

MODELS = {"mlp": "MLP, 6 tensors, 5 k", "dqn": "DQN, 10 tensors, 1.7 M", "resnet50": "ResNet-50, 161 tensors, 25.6 M"}
MODELS |= {"flat25m": "one tensor, 25 M", "flat100m": "one tensor, 100 M"}
PEERS = {
    "torch": "torch.optim, for-loop",
    "torch-foreach": "torch.optim, foreach",
    "torch-fused": "torch.optim, fused",
    "torch-compiled": "torch.optim, `torch.compile`",
    "timm": "timm",
    "bitsandbytes": "bitsandbytes",
    "tf_keras": "tf_keras, `tf.function`",
    "optax": "optax, jitted and donated",
    "keras": "keras",
    "floor-jax": "ours without its work",
    "floor-tf_keras": "ours without its work",
}

VARIANTS = ("plain", "momentum", "centered+momentum", "everything")

#: Of a front end that does more than steps: kind of work -> what a reader calls it.
WORK = {
    "step": "`tf.function`",
    "eager": "eager",
    "fit": "`fit`, a whole step",
    "embedding": "1000 rows a step",
}
WORKED = MODELS | {"classifier": "784-1024-1024-10, 1.9 M", "table": "table, 1 M × 64"}

#: Of Keras 3: kind of work -> what a reader calls it; and its backends' names.
KERAS_WORK = {"step": "`apply`", "fit": "`fit`, a whole step"}
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}

Row = dict[str, Any]


def steps(rows: list[Row], variants: tuple[str, ...]) -> str:
    """Return a table of our time and of each peer's ratio to it; those that were measured have a column."""
    peers = [peer for peer in PEERS if any(row["kind"] == "step" and row["peer"] == peer for row in rows)]
    lines = [
        "| | | rmsprop | " + " | ".join(PEERS[peer] for peer in peers) + " |",
        "|---|---|---:|" + "---:|" * len(peers),
    ]
    for model, name in MODELS.items():
        for variant in variants:
            found = {
                r["peer"]: r for r in rows if r["kind"] == "step" and (r["model"], r["variant"]) == (model, variant)
            }
            if found:
                cells = [f"{found[peer]['ratio']:.1f} ×" if peer in found else "" for peer in peers]
                lines.append(f"| {name} | {variant} | {seconds(found['rmsprop']['seconds'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def work(rows: list[Row], variants: tuple[str, ...]) -> str:
    """Return a table of our time, and tf_keras's ratio to it, for all kinds of work."""
    lines = ["| | | | rmsprop | tf_keras |", "|---|---|---|---:|---:|"]
    for kind, words in WORK.items():
        for model, name in WORKED.items():
            for variant in variants:
                place = {"kind": kind, "model": model, "variant": variant}.items()
                found = {row["peer"]: row for row in rows if place <= row.items()}
                if found:
                    cells = [words, name, variant, seconds(found["rmsprop"]["seconds"])]
                    lines.append(f"| {' | '.join(cells)} | {found['tf_keras']['ratio']:.1f} × |")
    return "\n".join(lines)


def by_backend(measurements: list[Row], variants: tuple[str, ...]) -> str:
    """Return a table of our time on each backend of Keras's, and the ratio to it of Keras's own there."""
    names = [BACKENDS[one["machine"]["settings"]["KERAS_BACKEND"]] for one in measurements]
    lines = ["| | | | " + "".join(f"{name} | keras | " for name in names).rstrip()]
    lines.append("|---|---|---|" + "---:|---:|" * len(names))
    for kind, words in KERAS_WORK.items():
        for model, name in WORKED.items():
            for variant in variants:
                place = {"kind": kind, "model": model, "variant": variant}.items()
                cells = [cell for one in measurements for cell in _beside(one["rows"], place)]
                if any(cells):
                    lines.append(f"| {' | '.join([words, name, variant, *cells])} |")
    return "\n".join(lines)


def _beside(rows: list[Row], place: Any) -> list[str]:
    """Return our time and Keras's ratio to it, of one row."""
    found = {row["peer"]: row for row in rows if place <= row.items()}
    if not found:
        return ["", ""]
    ratio = f"{found['keras']['ratio']:.1f} ×" if "keras" in found else ""
    return [seconds(found["rmsprop"]["seconds"]), ratio]


def memory(rows: list[Row]) -> str:
    """Return a table of how far steps raise a process's memory; tf_keras's also as it would be with parts like ours."""
    lines = ["| | | rmsprop | tf_keras | tf_keras, two buckets, largest tensor |", "|---|---|---:|---:|---:|"]
    kept = [row for row in rows if row["kind"] == "memory"]
    for model, variant in dict.fromkeys((row["model"], row["variant"]) for row in kept):
        mine = {row["peer"]: row for row in kept if (row["model"], row["variant"]) == (model, variant)}
        ours, other = (max(mine[peer]["first_bytes"], mine[peer]["later_bytes"]) for peer in ("rmsprop", "tf_keras"))
        room = other + 2 * mine["rmsprop"]["bucket_bytes"] + mine["rmsprop"]["largest_tensor_bytes"]
        cells = [f"{size / 1e6:.0f} MB" for size in (ours, other, room)]
        lines.append(f"| {MODELS[model]} | {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def limits(rows: list[Row]) -> str:
    """Return a table of the memory limit and how much of it a step reaches."""
    kept = [row for row in rows if row["kind"] == "limit"]
    (model,) = {row["model"] for row in kept}
    lines = [f"| {MODELS[model]} | moved | fastest loop | rmsprop | of the limit |", "|---|---:|---:|---:|---:|"]
    for variant in dict.fromkeys(row["variant"] for row in kept):
        mine = [row for row in kept if row["variant"] == variant]
        ours = next(row for row in mine if row["loop"] == "rmsprop")
        best = min((row for row in mine if row is not ours), key=lambda row: row["seconds"])
        cells = [f"{ours['bytes'] / 1e6:.0f} MB", f"{seconds(best['seconds'])} ({best['loop']})"]
        cells += [seconds(ours["seconds"]), f"{ours['part_of_limit']:.0%}"]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compilation(rows: list[Row]) -> str:
    """Return a table of how long steps take to compile, ours and the peers'."""
    found = [row for row in rows if row["kind"] == "compilation"]
    peers = [peer for peer in PEERS if any(row["peer"] == peer for row in found)]
    named = "".join(f" {PEERS[peer]} |" for peer in peers)
    lines = [f"| | | rmsprop |{named}", "|---|---|---:|" + "---:|" * len(peers)]
    for model, variant in dict.fromkeys((row["model"], row["variant"]) for row in found):
        mine = {row["peer"]: row for row in found if (row["model"], row["variant"]) == (model, variant)}
        cells = [seconds(mine["rmsprop"]["seconds"])]
        cells += [f"{mine[peer]['ratio']:.1f} ×" if peer in mine else "" for peer in peers]
        lines.append(f"| {MODELS[model]} | {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def allocation(rows: list[Row]) -> str:
    """Return a sentence on the memory that a step needs besides its tensors."""
    found = [row for row in rows if row["kind"] == "allocation"]
    most = max(row["python_bytes"] for row in found)
    return f"at most {most / 1e3:.0f} kB beside tensors of {found[0]['largest_tensor_bytes'] / 1e6:.0f} MB"


def temporaries(rows: list[Row]) -> str:
    """Return a table of the memory that a step needs besides its tensors, of ours and of peers."""
    found = [row for row in rows if row["kind"] == "allocation"]
    peers = [peer for peer in ("rmsprop", *PEERS) if any(row["peer"] == peer for row in found)]
    named = " | ".join(PEERS.get(peer, peer) for peer in peers)
    lines = [f"| {MODELS[found[0]['model']]} | {named} |", "|---|" + "---:|" * len(peers)]
    for variant in dict.fromkeys(row["variant"] for row in found):
        mine = {row["peer"]: row["resident_bytes"] for row in found if row["variant"] == variant}
        cells = [f"{mine[peer] / 1e6:.0f} MB" if mine.get(peer) is not None else "" for peer in peers]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(measurements: list[Row]) -> list[str]:
    """Return the tables of one front end; `measurements` are several for Keras 3 alone."""
    rows = measurements[0]["rows"]
    if rows[0]["kind"] == "startup":
        return [train_table.first_steps(measurements)]
    if rows[0]["kind"] == "pauses":
        return [train_table.pauses(measurements)]
    if {row["kind"] for row in rows} <= {"train", "scaling"}:
        return [*train_table.training(rows), *train_table.scaling(rows)]
    frontend = next((row["frontend"] for row in rows if "frontend" in row), "numpy")
    if frontend == "keras":
        return [by_backend(measurements, VARIANTS)]
    if frontend == "tf_keras":
        return [work(rows, VARIANTS), memory(rows)]
    compared = [steps(rows, VARIANTS), limits(rows)]
    if frontend == "jax":
        compared.append(compilation(rows))
    return [*compared, allocation(rows) if frontend == "numpy" else temporaries(rows)]


def main() -> None:
    """Print all of them."""
    # They go into the documentation, whatever the terminal is.
    sys.stdout.reconfigure(encoding="utf-8")
    print(*tables([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]), sep="\n\n")


if __name__ == "__main__":
    main()
