"""What all tables of the report are made of."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def make_table(title: str, *columns: str) -> Table:
    """Make a table; its columns hold figures, but for those of words."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    words = {"", "variant"}
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", no_wrap=column not in words)
    return table


def print_table(table: Table, console: Console) -> None:
    """Print a table below an empty line."""
    console.print()
    console.print(table)


def spread(row: Mapping[str, Any], prefix: str = "") -> str:
    """Show the 10th and the 90th percentile of a row's times; `prefix` as `bench.timing.summary` has it."""
    return f"{duration(row[f'{prefix}seconds_p10'])} - {duration(row[f'{prefix}seconds_p90'])}"


def duration(seconds: float) -> str:
    """Show a time with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{digits(seconds / 1e-6)} µs"


def size(count: int | None) -> str:
    """Show a number of bytes with its unit."""
    if count is None:
        return "unknown"
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= bytes_of:
            return f"{digits(count / bytes_of)} {unit}"
    return f"{count} bytes"


def digits(number: float) -> str:
    """Show three digits."""
    return f"{number:.{0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2}f}"
