"""Tables of train steps and of cost against work, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from bench.peers import OURS
from bench.scaling import words as axis_words
from bench.tables import duration, make_table, print_table, spread
from bench.training.contenders import FRONTENDS
from bench.training.jobs import MODELS

if TYPE_CHECKING:  # the report shows these tables
    from bench.report import Report, Row


def show_training(report: Report, console: Console) -> None:
    """Print the train steps of each model: whole steps, and the optimizer's part of them."""
    for model in dict.fromkeys(row["model"] for row in report.of("train")):
        rows = report.of("train", model=model)
        title = f"{headline(rows[0])}: a train step, and the optimizer's part of it"
        columns = ("a step", "ratio", "part", "10-90 % of it", "of SGD's", "of ours")
        table = make_table(title, "", *columns)
        table.columns[0].no_wrap = True
        for variant in dict.fromkeys(row["variant"] for row in rows):
            table.add_section()
            if variant:
                table.add_row(variant)
            for row in (row for row in rows if row["variant"] == variant):
                table.add_row(*_cells(row), style="bold" if row["peer"].startswith(OURS) else None)
        print_table(table, console)


def _cells(row: Row) -> list[str]:
    cells = [words(row), duration(row["seconds"])]
    if "part_seconds" in row:
        cells += [_digits(row["ratio"]), duration(row["part_seconds"]), spread(row, "part_")]
        cells += [_digits(row["part_of_sgd"]), _digits(row["part_ratio"])]
    return cells


def show_scaling(report: Report, console: Console) -> None:
    """Print cost against work: a table for each axis."""
    for axis in dict.fromkeys(row["axis"] for row in report.of("scaling")):
        table = make_table(
            f"a plain step by {axis_words(axis)}", "numbers", "tensors", "threads", "", "a step", "10-90 %", "ratio"
        )
        for row in report.of("scaling", axis=axis):
            counts = [f"{row[name]:,}" for name in ("numbers", "tensors", "threads")]
            cells = [row["peer"], duration(row["seconds"]), spread(row), f"{row['ratio']:.2f}"]
            table.add_row(*counts, *cells, style="bold" if row["peer"] == OURS else None)
        print_table(table, console)


def headline(row: Row) -> str:
    """Name the model of a row, with what it holds."""
    numbers = row["numbers"]
    short = f"{numbers / 1e6:.1f} M" if numbers >= 1e6 else f"{numbers / 1e3:.0f} k"
    return f"{MODELS[row['model']].words}, batch {row['batch']}, {row['tensors']} tensors, {short} numbers"


def words(row: Row) -> str:
    """Name the contender of a row for readers."""
    return FRONTENDS[row["frontend"]].words.get(row["peer"], row["peer"])


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
