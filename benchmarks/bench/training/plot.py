"""Pictures of train steps and of cost against work."""

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from bench.peers import OURS, PEERS
from bench.report import Report, Row
from bench.scaling import column
from bench.scaling import words as axis_words
from bench.tables import duration
from bench.training.contenders import COMPILED, MODEL, SGD
from bench.training.show import headline, words
from bench.workloads import TOUCHED

_OURS, _PEER, _SGD, _MODEL, _GREY = "#2a6fbb", "#e0762c", "#5a9367", "#d5d5d5", "#666666"
_LINES: Final = {
    OURS: _OURS, "torch": _PEER, "torch-foreach": "#b85c1e", "optax": "#c9a227", "keras": "#c0392b", "tf_keras": _PEER,
}  # fmt: skip
_INCH: Final = 0.27  # for a bar


def draw_training(report: Report, path: Path) -> None:
    """Write a PNG file: for each model whole steps on the left, the optimizer's part of them on the right."""
    shown = [report.of("train", model=model) for model in dict.fromkeys(row["model"] for row in report.of("train"))]
    heights = [_INCH * (len(rows) + 3.5) for rows in shown]
    figure = Figure(figsize=(12.5, sum(heights) + 0.8), dpi=110, layout="constrained", facecolor="white")
    panels = figure.subplots(len(shown), 2, squeeze=False, height_ratios=heights, width_ratios=(1, 1))
    for (left, right), rows in zip(panels, shown, strict=True):
        _draw_steps(left, rows)
        _draw_parts(right, rows)
        left.set_title(headline(rows[0]), fontsize=10, loc="left")
        right.set_title("the optimizer's part: step less the model alone", fontsize=9, loc="left", color=_GREY)
    what = "A train step: shorter is faster. All on: centered, momentum and weight decay"
    figure.suptitle(f"{what}. Medians of alternating rounds; lines: 10 to 90 % of them", fontsize=11)
    figure.supxlabel(_caption(report), fontsize=8, color=_GREY)
    figure.savefig(path, format="png")


def _draw_steps(panel: Any, rows: list[Row]) -> None:
    alone = {row["peer"]: row["seconds"] for row in rows if row["peer"] == row["base"]}
    longest = max(row["seconds"] for row in rows)
    for place, row in enumerate(rows):
        panel.barh(place, row["seconds"], 0.8, color=_color(row))
        panel.barh(place, min(row["seconds"], alone[row["base"]]), 0.8, color=_MODEL)
        text = duration(row["seconds"])
        panel.text(row["seconds"] + 0.01 * longest, place, text, va="center", fontsize=7.5, color=_GREY)
    _dress(panel, rows, 1.16 * longest)
    names = [f"{words(row)}{', all on' if row['variant'] not in ('', 'plain') else ''}" for row in rows]
    panel.set_yticks(range(len(rows)), names, fontsize=8)
    for label, row in zip(panel.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["peer"].startswith(OURS) else "normal")


def _draw_parts(panel: Any, rows: list[Row]) -> None:
    timed = [row for row in rows if "part_seconds" in row]
    longest = max((row["part_seconds"] for row in timed), default=1.0)
    for place, row in enumerate(rows):
        if "part_seconds" not in row:
            continue
        panel.barh(place, row["part_seconds"], 0.8, color=_color(row))
        ends = [max(row[f"part_seconds_{end}"], 0) for end in ("p10", "p90")]
        panel.plot(ends, [place, place], color="black", linewidth=0.8)
        of_sgd = f"   {row['part_of_sgd']:.2f} × SGD's" if row["part_of_sgd"] and row["peer"] != SGD else ""
        start = max(row["part_seconds"], min(ends[1], 1.45 * longest), 0) + 0.01 * longest
        text = duration(row["part_seconds"]) + of_sgd
        # Readable over a line that goes on to the panel's end.
        over = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        panel.text(start, place, text, va="center", fontsize=7.5, color=_GREY, bbox=over)
    _dress(panel, rows, 1.9 * longest)
    panel.set_yticks([])


def _dress(panel: Any, rows: list[Row], width: float) -> None:
    panel.set_xlim(0, width)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.xaxis.set_major_formatter(lambda value, place: duration(value) if value else "0")
    panel.tick_params(left=False, labelsize=7.5)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.grid(axis="x", color=_GREY, alpha=0.2)
    panel.set_axisbelow(True)
    panel.locator_params(axis="x", nbins=5)


def _color(row: Row) -> str:
    name = row["peer"].removesuffix(COMPILED)
    return {OURS: _OURS, SGD: _SGD, MODEL: _MODEL}.get(name, _PEER)


def draw_scaling(report: Report, path: Path) -> None:
    """Write a PNG file: the time of a step by each axis."""
    axes = list(dict.fromkeys(row["axis"] for row in report.of("scaling")))
    figure = Figure(figsize=(5.0 * len(axes), 4.4), dpi=110, layout="constrained", facecolor="white")
    for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
        rows = report.of("scaling", axis=axis)
        for name in dict.fromkeys(row["peer"] for row in rows):
            _draw_line(panel, [row for row in rows if row["peer"] == name], axis)
        if axis == "threads":
            panel.set_ylim(bottom=0)
        panel.set_xlabel(axis_words(axis), fontsize=9)
        panel.set_title(_fixed(rows[0], axis), fontsize=9, color=_GREY)
        panel.grid(color=_GREY, alpha=0.2)
        panel.tick_params(labelsize=8)
        panel.yaxis.set_major_formatter(lambda value, place: duration(value))
        panel.legend(fontsize=8, frameon=False)
    figure.suptitle("Time of a plain step by the work in it: lower is faster", fontsize=11)
    figure.supxlabel(_caption(report), fontsize=8, color=_GREY)
    figure.savefig(path, format="png")


def _draw_line(panel: Any, rows: list[Row], axis: str) -> None:
    places, times = [row[column(axis)] for row in rows], [row["seconds"] for row in rows]
    spread = [[row[f"seconds_{end}"] for row in rows] for end in ("p10", "p90")]
    name = rows[0]["peer"]
    style = {"color": _LINES.get(name, _GREY), "linewidth": 2.2 if name == OURS else 1.4}
    panel.plot(places, times, marker="o", markersize=4, label=PEERS[name].label if name in PEERS else name, **style)
    panel.fill_between(places, *spread, color=style["color"], alpha=0.15, linewidth=0)
    if axis == "threads":
        panel.set_xticks(places)
    else:
        panel.set_xscale("log")
        panel.set_yscale("log")


def _fixed(row: Row, axis: str) -> str:
    """Say what is the same at every point of an axis."""
    if axis == "table":
        return f"a gradient of {TOUCHED:,} rows, {row['threads']} threads"
    words = {"numbers": f"{row['numbers']:,} numbers", "tensors": f"{row['tensors']} tensors"}
    words["threads"] = f"{row['threads']} threads"
    return ", ".join(text for name, text in words.items() if name != axis)


def _caption(report: Report) -> str:
    machine, versions = report.machine, report.machine["versions"]
    where = f"{machine['processor']}, {machine['cores']} cores; commit {(machine.get('commit') or 'unknown')[:10]}"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    others = machine.get("other_processes")
    asked = f"; {others} other processes computed, one for each core" if others else ""
    unasked = "; MEASURED ON A BUSY MACHINE" if report.is_busy else ""
    if unasked and machine.get("nice", 0) < 0:
        unasked = f"; on a machine with other work, over which this process had precedence (nice {machine['nice']})"
    return f"{where}{asked}{unasked}\n{packages}"
