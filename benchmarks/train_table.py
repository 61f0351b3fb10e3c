"""Tables of train steps, of cost against work, of first steps and of steps after pauses, for the documentation.

``python benchmarks/table.py benchmarks/train_torch.json`` prints those of one measurement, ``python
benchmarks/train_table.py`` the table of the README page, with a row for each front end.
"""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

Row = dict[str, Any]

MODELS = {
    "mlp": "MLP, 5 k",
    "classifier": "784-1024-1024-10, 1.9 M",
    "dqn": "DQN, 1.7 M",
    "transformer": "transformer, 0.9 M",
    "resnet18": "ResNet-18, 11.7 M",
}
VARIANTS = {"plain": "plain", "centered+momentum+decay": "all on"}

#: What a contender is called at the head of a column; those of a compiled model have a table of their own.
CONTENDERS = {
    "sgd": "SGD",
    "torch": "torch.optim.RMSprop",
    "torch.compile": "torch.optim.RMSprop in `torch.compile`",
    "optax": "optax.rmsprop",
    "tf_keras": "tf_keras's RMSprop",
    "keras": "Keras's RMSprop",
    "torch-compiled": "torch.optim.RMSprop, whole step compiled",
    "tf_keras-compiled": "tf_keras's RMSprop",
    "keras-compiled": "Keras's RMSprop",
    "rmsprop": "rmsprop",
    "rmsprop-compiled": "rmsprop",
}
BASES = {"model": "model alone", "model-compiled": "compiled model alone"}
OURS = {"model": "rmsprop", "model-compiled": "rmsprop-compiled"}
SCALED = {"rmsprop": "rmsprop", "torch": "torch.optim, for-loop", "torch-foreach": "torch.optim, foreach"}
SCALED |= {"optax": "optax", "tf_keras": "tf_keras", "keras": "keras"}

#: The model of the README page, and the front ends in the order of its rows.
SHOWN = "classifier"
FRONTENDS = ("numpy", "torch", "jax", "tf_keras", "keras_tensorflow", "keras_jax", "keras_torch")


def measured(kind: str = "train") -> list[Row]:
    """Return the measurements that lie beside this file, of those front ends that were measured.

    Args:
        kind: "train"; "busy", where other processes computed on every core; "startup", first steps; "pauses".
    """
    files = [Path(__file__).parent / f"{kind}_{name}.json" for name in FRONTENDS]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def training(rows: list[Row]) -> list[str]:
    """Return a table for each base: the model alone, and what each optimizer adds to it."""
    kept = [row for row in rows if row["kind"] == "train"]
    return [_of_base([row for row in kept if row["base"] == base], base) for base in BASES if _has(kept, base)]


def _has(rows: list[Row], base: str) -> bool:
    return any(row["base"] == base and row["peer"] != base for row in rows)


def _of_base(rows: list[Row], base: str) -> str:
    peers = [peer for peer in CONTENDERS if any(row["peer"] == peer for row in rows)]
    heads = [BASES[base], *(CONTENDERS[peer] for peer in peers)]
    lines = ["| | | " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(heads)]
    for model, name in MODELS.items():
        mine = [row for row in rows if row["model"] == model]
        for variant, words in VARIANTS.items():
            found = {row["peer"]: row for row in mine if row["variant"] in ("", variant)}
            if any(row["variant"] for row in found.values()):
                cells = [seconds(found[base]["seconds"])]
                cells += [_part(found[peer]) if peer in found else "" for peer in peers]
                lines.append(f"| {name} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _part(row: Row) -> str:
    """Write an optimizer's part, and how many of ours it is."""
    ours = row["peer"].startswith("rmsprop") or not row.get("part_ratio")
    return seconds(row["part_seconds"]) + ("" if ours else f" ({row['part_ratio']:.1f} ×)")


def scaling(rows: list[Row]) -> list[str]:
    """Return a table of cost against work: our time at each point, and each peer's ratio to it."""
    kept = [row for row in rows if row["kind"] == "scaling"]
    if not kept:
        return []
    peers = [peer for peer in SCALED if any(row["peer"] == peer for row in kept)]
    lines = ["| numbers | tensors | threads | " + " | ".join(SCALED[peer] for peer in peers) + " |"]
    lines.append("|---:|---:|---:|" + "---:|" * len(peers))
    points = dict.fromkeys((row["axis"], row["numbers"], row["tensors"], row["threads"]) for row in kept)
    for axis, *counts in points:
        found = {
            row["peer"]: row
            for row in kept
            if (row["axis"], row["numbers"], row["tensors"], row["threads"]) == (axis, *counts)
        }
        cells = [f"{count:,}" for count in counts]
        if axis == "table":
            cells[1] = "table"
        cells += [_scaled(found[peer]) if peer in found else "" for peer in peers]
        lines.append(f"| {' | '.join(cells)} |")
    return ["\n".join(lines)]


def _scaled(row: Row) -> str:
    return seconds(row["seconds"]) if row["peer"] == "rmsprop" else f"{row['ratio']:.1f} ×"


def overview(measurements: list[Row]) -> str:
    """Return a table with a row for each front end: its train step of one model beside its strongest peer.

    The strongest is the one whose part is the smallest beside ours on the same model.
    """
    lines = [
        "| | model alone | " + " | ".join(f"rmsprop, {words} | strongest peer" for words in VARIANTS.values()) + " |"
    ]
    lines.append("|---|---:|" + "---:|---|" * len(VARIANTS))
    for one in measurements:
        kept = [row for row in one["rows"] if row["kind"] == "train" and row["model"] == SHOWN]
        for base in (base for base in BASES if _has(kept, base)):
            rows = [row for row in kept if row["base"] == base]
            (alone,) = (row for row in rows if row["peer"] == base)
            cells = [_frontend(one, base), seconds(alone["seconds"])]
            for variant in VARIANTS:
                cells += _beside([row for row in rows if row["variant"] == variant])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _beside(rows: list[Row]) -> list[str]:
    """Return our part, and the strongest peer's with its name."""
    if not rows:
        return ["", ""]
    (ours,) = (row for row in rows if row["peer"].startswith("rmsprop"))
    peer = min((row for row in rows if row is not ours), key=lambda row: row["part_seconds"])
    return [seconds(ours["part_seconds"]), f"{seconds(peer['part_seconds'])}, {CONTENDERS[peer['peer']]}"]


def busy(quiet: list[Row], crowded: list[Row]) -> str:
    """Return a table of whole train steps on a quiet machine and on a busy one: ours, and the strongest peer's over it.

    Args:
        quiet: measurements of a machine that did nothing else.
        crowded: those of the same front ends on a busy one. A row is a model that both have.
    """
    lines = ["| | model | | quiet | strongest peer | busy | the same peer |", "|---|---|---|---:|---:|---:|---:|"]
    for many in crowded:
        (few,) = (one for one in quiet if _frontend(one, "model") == _frontend(many, "model"))
        for base in BASES:
            for (model, name), (variant, words) in product(MODELS.items(), VARIANTS.items()):
                ours, peers = _whole(few, base, model, variant)
                found, others = _whole(many, base, model, variant)
                if ours and found and peers.keys() & others.keys():
                    peer = min(peers.keys() & others.keys(), key=lambda peer: peers[peer]["seconds"])
                    cells = [_frontend(many, base), name, words]
                    cells += [seconds(ours["seconds"]), f"{peers[peer]['ratio']:.2f} × ({CONTENDERS[peer]})"]
                    cells += [seconds(found["seconds"]), f"{others[peer]['ratio']:.2f} ×"]
                    lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _whole(measurement: Row, base: str, model: str, variant: str) -> tuple[Row | None, dict[str, Row]]:
    """Return our row of a model with an optimizer, and those of the peers by their names."""
    wanted = {"kind": "train", "base": base, "model": model, "variant": variant}.items()
    found = {row["peer"]: row for row in measurement["rows"] if wanted <= row.items()}
    return found.get(OURS[base]), {name: row for name, row in found.items() if name != OURS[base]}


def pauses(measurements: list[Row]) -> str:
    """Return a table of the first steps after pauses: ours, and how many of it the strongest peer's takes."""
    kept = [row for one in measurements for row in one["rows"] if row["kind"] == "pauses"]
    lengths = dict.fromkeys(row["pause"] for row in kept)
    heads = [f"after {seconds(pause)}" if pause else "after other steps" for pause in lengths]
    lines = [f"| | | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for one in measurements:
        rows = [row for row in one["rows"] if row["kind"] == "pauses"]
        for variant in dict.fromkeys(row["variant"] for row in rows):
            mine = [[row for row in rows if (row["variant"], row["pause"]) == (variant, pause)] for pause in lengths]
            lines.append(f"| {_frontend(one, 'model')} | {variant} | {' | '.join(map(_paused, mine))} |")
    return "\n".join(lines)


def _paused(rows: list[Row]) -> str:
    """Write our time, and the least ratio of the peers'."""
    (ours,) = (row for row in rows if row["peer"] == "rmsprop")
    others = [row["ratio"] for row in rows if row is not ours]
    return seconds(ours["seconds"]) + (f" ({min(others):.1f} ×)" if others else "")


def first_steps(measurements: list[Row]) -> str:
    """Return a table of what a process pays once, with a row for each front end."""
    variants = ("plain", "everything")
    kinds = ("kernels cached", "nothing cached", "the framework's")
    heads = [f"{kind}, {variant}" for kind in kinds for variant in variants]
    lines = [f"| first step | import | {' | '.join(heads)} |", "|---|" + "---:|" * (1 + len(heads))]
    for one in measurements:
        taken = {(row["what"], row["variant"]): seconds(row["seconds"]) for row in one["rows"]}
        imported = next(what for what, _ in taken if what.startswith("import rmsprop"))
        peer = next((what for what, _ in taken if what.startswith("first step of ")), "")
        whats = ("first step, kernels cached", "first step, nothing cached", peer)
        cells = [taken[imported, ""], *(taken.get((what, variant), "") for what in whats for variant in variants)]
        lines.append(f"| {_frontend(one, 'model')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _frontend(measurement: Row, base: str) -> str:
    """Name a front end, and how its model is run."""
    name = next(row["frontend"] for row in measurement["rows"])
    if name == "keras":
        name += f" on {measurement['machine']['settings']['KERAS_BACKEND']}"
    compiled = {"torch": ", `torch.compile`"}.get(name, ", XLA")
    names = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "keras on tensorflow": "Keras 3 on TensorFlow"}
    names |= {"keras on jax": "Keras 3 on JAX", "keras on torch": "Keras 3 on torch"}
    return names.get(name, name) + (compiled if base != "model" else "")


def seconds(value: float) -> str:
    """Write a time with two or three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def main() -> None:
    """Print the table of all front ends."""
    sys.stdout.reconfigure(encoding="utf-8")
    print(overview(measured()))


if __name__ == "__main__":
    main()
