"""The run on a CUDA device as a picture: the bandwidth that each step reaches, beside a copy's."""

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from bench.gpu.contenders import CONTENDERS, OURS
from bench.gpu.measure import COPY
from bench.tables import duration

_OURS, _PEER, _OTHER, _GREY = "#2a6fbb", "#e0762c", "#8a8a8a", "#666666"
_INCH: Final = 0.3  # for a bar


def draw(found: dict[str, Any], path: Path) -> None:
    """Write a PNG file."""
    rows = found["rows"]
    cases, variants = (list(dict.fromkeys(row[name] for row in rows)) for name in ("case", "variant"))
    figure = Figure(
        figsize=(12.5, max(len(cases), 1) * _INCH * (len(CONTENDERS) + 2.5) + 1),
        dpi=110,
        layout="constrained",
        facecolor="white",
    )
    for place, case in enumerate(cases):
        for column, variant in enumerate(variants):
            panel = figure.add_subplot(len(cases), len(variants), place * len(variants) + column + 1)
            shown = [row for row in rows if (row["case"], row["variant"]) == (case, variant)]
            if shown:
                _draw(panel, shown)
            else:
                panel.set_axis_off()
    figure.suptitle("Bytes that a step must move, by its time: longer is faster; the line is a copy", fontsize=11)
    figure.supxlabel(_caption(found), fontsize=8, color=_GREY)
    figure.savefig(path, format="png")


def _draw(panel: Any, rows: list[dict[str, Any]]) -> None:
    (copy,) = (row["bytes_per_second"] / 1e9 for row in rows if row["peer"] == COPY)
    steps = [row for row in rows if row["peer"] != COPY]
    for place, row in enumerate(steps):
        speed = row["bytes_per_second"] / 1e9
        color = _OURS if row["peer"].startswith(OURS) else _PEER if row["peer"].startswith("torch") else _OTHER
        panel.barh(place, speed, 0.8, color=color)
        panel.text(speed + 0.01 * copy, place, duration(row["seconds"]), va="center", fontsize=7.5, color=_GREY)
    panel.axvline(copy, color="black", linewidth=1)
    panel.set_yticks(range(len(steps)), [CONTENDERS[row["peer"]].words for row in steps], fontsize=8)
    panel.invert_yaxis()
    panel.set_title(f"{rows[0]['case']}, {rows[0]['variant']}: GB/s", fontsize=9, loc="left")
    panel.set_xlim(0, 1.25 * max([copy, *(row["bytes_per_second"] / 1e9 for row in steps)]))
    panel.tick_params(left=False, labelsize=7.5)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _caption(found: dict[str, Any]) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    nominal = machine.get("nominal_bytes_per_second")
    card = f"{machine['device']}" + (f", {nominal / 1e9:.0f} GB/s nominal" if nominal else "")
    missing = "" if not found["not_measured"] else f"; not measured: {', '.join(found['not_measured'])}"
    return f"{card}; commit {(machine.get('commit') or 'unknown')[:10]}{missing}\n{versions}"
