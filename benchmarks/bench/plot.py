"""The comparison as a picture: bars of a step's time, ours being 1, a panel a model."""

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.peers import OURS, PEERS
from bench.report import Report, Row, headline
from bench.tables import duration
from bench.training.plot import draw_scaling, draw_training
from rmsprop.cli import CommandError

_COLORS: Final = {
    OURS: "#2a6fbb", "torch": "#e0762c", "torch-foreach": "#f0b27a", "torch-fused": "#b85c1e",
    "torch-compiled": "#7a3b10", "timm": "#5a9367", "bitsandbytes": "#a05fa6", "tf_keras": "#8a8a8a",
    "optax": "#c9a227", "keras": "#c0392b", "floor-jax": "#9fc2e8", "floor-tf_keras": "#9fc2e8",
}  # fmt: skip
_LABELS: Final = {OURS: "rmsprop", **{name: peer.label for name, peer in PEERS.items()}}
_GREY: Final = "#666666"


def draw(report: Report, path: Path) -> None:
    """Write a PNG file: of steps, or where there are none of train steps, or of cost against work."""
    compared = report.compared()
    if not compared and report.of("train"):
        return draw_training(report, path)
    if not compared and report.of("scaling"):
        return draw_scaling(report, path)
    if not compared:
        raise CommandError("--plot: there are no steps among the figures")
    wide = min(2, len(compared))
    high = -(-len(compared) // wide)
    # A figure of its own, without pyplot: no global state, and PNG is drawn by Agg.
    figure = Figure(figsize=(5.2 * wide + 0.6, 4.0 * high + 1.0), dpi=150, layout="constrained", facecolor="white")
    panels = list(figure.subplots(high, wide, squeeze=False).flat)
    shown = [report.of(kind, model=model) for kind, model in compared]
    for panel, rows in zip(panels, shown, strict=False):
        _draw_model(panel, rows)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    names = [name for name in _LABELS if any(row["peer"] == name for rows in shown for row in rows)]
    patches = [Patch(color=_COLORS[name], label=_LABELS[name]) for name in names]
    figure.legend(handles=patches, loc="outside upper center", ncols=2, frameon=False)
    figure.supxlabel(_caption(report), fontsize=8, color=_GREY)
    figure.savefig(path, format="png")
    return None


def _draw_model(panel: Any, rows: list[Row]) -> None:
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    longest = max(row["ratio"] for row in rows)
    thick = 0.8 / len(peers)
    for row in rows:
        place = variants.index(row["variant"]) + (peers.index(row["peer"]) - (len(peers) - 1) / 2) * thick
        panel.barh(place, row["ratio"], 0.92 * thick, color=_COLORS[row["peer"]])
        ours = row["peer"] == OURS
        text = f"1   ({duration(row['seconds'])})" if ours else f"{row['ratio']:.1f}"
        style = {"color": _COLORS[OURS], "fontweight": "bold"} if ours else {"color": _GREY}
        panel.text(row["ratio"] + 0.012 * longest, place, text, va="center", fontsize=8, **style)
    panel.set_title(f"{headline(rows[0])}: {_count(rows[0])}", fontsize=11)
    panel.set_yticks(range(len(variants)), variants)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.12 * longest)
    panel.grid(axis="x", color=_GREY, alpha=0.2)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.tick_params(left=False)


def _count(row: Row) -> str:
    numbers = row["numbers"]
    short = f"{numbers / 1e6:.1f} M" if numbers >= 1e6 else f"{numbers / 1e3:.1f} k"
    return f"{row['tensors']} tensor{'s' if row['tensors'] > 1 else ''}, {short} numbers"


def _caption(report: Report) -> str:
    machine, versions = report.machine, report.machine["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    where = f"{machine['processor']}, {machine['cores']} cores, threads: {machine['threads']}"
    what = "Time of one step, float32, as a multiple of rmsprop's (in brackets): shorter is faster"
    return f"{what}{'; MEASURED ON A BUSY MACHINE' if report.is_busy else ''}.\n{where}; {packages}"
