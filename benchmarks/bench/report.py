"""What the benchmark shows and writes: tables of the rows, and all of them as JSON.

Everything shown is made from the rows and the description of the machine, so that a report can be shown again, and
drawn, from its JSON file.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench.peers import OURS
from bench.tables import duration, make_table, print_table, size, spread
from bench.training.show import show_scaling, show_training
from bench.workloads import KINDS
from rmsprop.cli import CommandError

Row = dict[str, Any]

#: Changes with the meaning of what is in a file.
_FORMAT: Final = 1

#: Cores' worth of other work that is more than the system's own.
_BUSY: Final = 0.1


@dataclass
class Report:
    """The figures of one run.

    Attributes:
        machine: see `bench.machine`.
        left_out: peer -> why it is not in the rows.
        rows: one a figure; "kind" is one of `KINDS`, or limit, compilation, startup, allocation, memory,
            train, scaling or pauses.
        format: of the file.
    """

    machine: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    format: int = _FORMAT

    def of(self, kind: str, **entries: Any) -> list[Row]:
        """Return the rows of a kind that have these entries."""
        return [row for row in self.rows if {"kind": kind, **entries}.items() <= row.items()]

    def compared(self) -> list[tuple[str, str]]:
        """Return the kinds of work, and the models, of which there are times beside each other."""
        return list(dict.fromkeys((row["kind"], row["model"]) for row in self.rows if row["kind"] in KINDS))

    @property
    def is_busy(self) -> bool:
        """Whether other processes had so much of the machine that the figures say little."""
        return (self.machine.get("busy_elsewhere") or 0.0) > _BUSY

    def write(self, path: Path) -> None:
        """Write all figures."""
        path.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read what `write` wrote."""
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            if entries["format"] != _FORMAT:
                raise CommandError(f"{path} has the format {entries['format']!r}, this version reads {_FORMAT}")
            return cls(**entries)
        except (ValueError, KeyError, TypeError) as problem:
            raise CommandError(f"{path} is not a file that the benchmark wrote with --json") from problem


def show(report: Report, console: Console) -> None:
    """Print everything."""
    show_machine(report, console)
    for kind, model in report.compared():
        show_steps(report, kind, model, console)
    show_limits(report, console)
    show_compilation(report, console)
    show_startup(report, console)
    show_allocation(report, console)
    show_memory(report, console)
    show_training(report, console)
    show_scaling(report, console)
    show_pauses(report, console)
    show_busy(report, console)


def show_machine(report: Report, console: Console) -> None:
    """Print where this was measured, with what, and what is missing."""
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    versions += f", commit {machine['commit']}" if machine.get("commit") else ""  # older files do not say
    where = f"{machine['processor']}, {machine['cores']} cores, threads: {machine['threads']}, {machine['system']}"
    where += f", {machine['device']}" if "device" in machine else ""
    settings = [f"{name}={value}" for name, value in machine["settings"].items()]
    settings += [f"nice {machine['nice']}"] if "nice" in machine else []
    console.print("\n".join([where, versions, *settings]), highlight=False, markup=False)
    for name, reason in report.left_out.items():
        console.print(f"left out: {name} ({reason})", highlight=False, markup=False)


def show_busy(report: Report, console: Console) -> None:
    """Warn if the machine had other work: OpenMP's threads wait for each other, and then for that too.

    Work that was asked for is no warning.
    """
    if others := report.machine.get("other_processes"):
        console.print(
            f"\n{others} other processes computed meanwhile, one for each core, as --busy says", highlight=False
        )
    if report.is_busy and report.machine.get("nice", 0) < 0:
        busy = report.machine["busy_elsewhere"]
        text = f"\nother processes used {busy:.2f} cores where this one, which has precedence, left them"
        console.print(text, highlight=False)
    elif report.is_busy:
        busy = report.machine["busy_elsewhere"]
        console.print(
            f"\nwarning: other processes kept {busy:.2f} cores busy meanwhile. These figures are not to be quoted: "
            "what runs on many threads, as peers do, then looks many times slower than it is.",
            style="bold red",
            highlight=False,
        )


def headline(row: Row) -> str:
    """Name the work, and the model, of a row of times."""
    return ", ".join(filter(None, (row["model"], KINDS[row["kind"]].words)))


def show_steps(report: Report, kind: str, model: str, console: Console) -> None:
    """Print the times of whole steps of one model."""
    rows = report.of(kind, model=model)
    numbers, tensors = rows[0]["numbers"], rows[0]["tensors"]
    noun = "tensor" if tensors == 1 else "tensors"
    title = f"{headline(rows[0])}: {tensors} {noun}, {numbers:,} numbers"
    _print_times(title, "a step", rows, console)


def _print_times(title: str, column: str, rows: list[Row], console: Console) -> None:
    """Print what was timed, ours and others'."""
    table = make_table(title, "variant", "", column, "10-90 %", "ratio")
    for variant, group in _groups(rows):
        for index, row in enumerate(group):
            cells = [row["peer"], duration(row["seconds"]), spread(row), f"{row['ratio']:.2f}"]
            table.add_row(variant if index == 0 else "", *cells, style="bold" if row["peer"] == OURS else None)
        table.add_section()
    print_table(table, console)


def show_limits(report: Report, console: Console) -> None:
    """Print how near a step comes to what memory allows."""
    for model in dict.fromkeys(row["model"] for row in report.of("limit")):
        table = make_table(f"{model}: the limit of memory", "variant", "", "a step", "10-90 %", "GB/s", "of limit")
        for variant, group in _groups(report.of("limit", model=model)):
            best = min((row for row in group if row["loop"] != OURS), key=lambda row: float(row["seconds"]))
            ours = next(row for row in group if row["loop"] == OURS)
            for row in (best, ours):
                cells = [
                    row["loop"],
                    duration(row["seconds"]),
                    spread(row),
                    f"{row['bytes'] / row['seconds'] / 1e9:.1f}",
                ]
                part = f"{row['part_of_limit']:.0%}"
                table.add_row(variant if row is best else "", *cells, part, style="bold" if row is ours else None)
            table.add_section()
        print_table(table, console)


def show_compilation(report: Report, console: Console) -> None:
    """Print how long steps take to compile, ours and others'."""
    for model in dict.fromkeys(row["model"] for row in report.of("compilation")):
        _print_times(f"{model}: tracing and compiling a step", "takes", report.of("compilation", model=model), console)


def show_startup(report: Report, console: Console) -> None:
    """Print what is paid once."""
    rows = report.of("startup")
    if not rows:
        return
    table = make_table("once in a process", "", "variant", "takes", "10-90 %", "beyond Numba")
    for row in rows:
        beyond = duration(row["seconds"] - row["baseline_seconds"]) if "baseline_seconds" in row else ""
        table.add_row(row["what"], row["variant"], duration(row["seconds"]), spread(row), beyond)
    print_table(table, console)


def show_allocation(report: Report, console: Console) -> None:
    """Print how much memory steps take for a while."""
    rows = report.of("allocation")
    if not rows:
        return
    largest = size(rows[0]["largest_tensor_bytes"])
    title = f"{rows[0]['model']}: memory that a step takes for a while; the largest tensor has {largest}"
    where = "device" if "device" in report.machine else "process"
    table = make_table(title, "variant", "", "Python and NumPy", where)
    for variant, group in _groups(rows):
        for index, row in enumerate(group):
            peer = row.get("peer", OURS)  # older files have ours alone, and do not say so
            cells = [size(row["python_bytes"]), size(row["resident_bytes"])]
            table.add_row(variant if index == 0 else "", peer, *cells, style="bold" if peer == OURS else None)
        table.add_section()
    print_table(table, console)


def show_memory(report: Report, console: Console) -> None:
    """Print how far steps raise a process's memory, ours and others'."""
    for model in dict.fromkeys(row["model"] for row in report.of("memory")):
        rows = report.of("memory", model=model)
        largest, bucket = (size(rows[0][entry]) for entry in ("largest_tensor_bytes", "bucket_bytes"))
        title = f"{model}: memory above that before the first step; the largest tensor has {largest}, a bucket {bucket}"
        table = make_table(title, "variant", "", "first step", "later steps", "kept")
        for variant, group in _groups(rows):
            for index, row in enumerate(group):
                cells = [size(row[entry]) for entry in ("first_bytes", "later_bytes", "kept_bytes")]
                style = "bold" if row["peer"] == OURS else None
                table.add_row(variant if index == 0 else "", row["peer"], *cells, style=style)
            table.add_section()
        print_table(table, console)


def show_pauses(report: Report, console: Console) -> None:
    """Print what the first steps after pauses take, ours and others'."""
    for model in dict.fromkeys(row["model"] for row in report.of("pauses")):
        rows = report.of("pauses", model=model)
        title = f"{model}: each of the first {rows[0]['steps']} steps after a pause"
        table = make_table(title, "variant", "pause", "", "a step", "10-90 %", "ratio")
        for variant, group in _groups(rows):
            for index, row in enumerate(group):
                cells = [duration(row["seconds"]), spread(row), f"{row['ratio']:.2f}"]
                pause = (duration(row["pause"]) if row["pause"] else "none") if row["peer"] == OURS else ""
                style = "bold" if row["peer"] == OURS else None
                table.add_row(variant if index == 0 else "", pause, row["peer"], *cells, style=style)
            table.add_section()
        print_table(table, console)


def _groups(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["variant"], []).append(row)
    return list(groups.items())
