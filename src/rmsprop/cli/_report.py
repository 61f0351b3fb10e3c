"""The output of ``rmsprop train``: progress, the time of each part, the curves, and the figures for programs."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rmsprop.cli._training import Record

#: The parts of the time, in the order of the report, each with a note.
PARTS = {
    "start": "imports, data, a checkpoint's reading",
    "first_step": "of the optimizer: its kernel compiled, or loaded from the cache",
    "gradients": "",
    "optimizer": "",
    "evaluation": "",
    "data": "each epoch's order and distortions",
    "checkpoints": "written and flushed to the disk",
    "curves": "matplotlib",
    "rest": "",
}

_BLUE, _ORANGE, _GREY = "#2a6fbb", "#e0762c", "#666666"


@final
class Clock:
    """Adds up the time of the parts of a run, in seconds: `PARTS` but the rest."""

    def __init__(self) -> None:
        self.parts = {part: 0.0 for part in PARTS if part != "rest"}
        self._start = time.perf_counter()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Count the time of a ``with`` block as `part`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.parts[part] += time.perf_counter() - start

    def stop(self) -> dict[str, float]:
        """Return the seconds of all parts, the rest included; their sum is the time since the clock was made."""
        seconds = time.perf_counter() - self._start
        return {**self.parts, "rest": max(0.0, seconds - sum(self.parts.values()))}


@final
class Display:
    """Shows progress: a line an epoch, and bars below the lines on a terminal."""

    def __init__(self, console: Console, *, epochs: int, epoch: int, steps: int) -> None:
        self._console, self._epochs = console, epochs
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True), console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._training = self._bars.add_task("epochs", total=epochs, completed=epoch, note="")
        self._epoch = self._bars.add_task(f"epoch {epoch + 1}", total=steps, note="")

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def step(self, steps: int, loss: float) -> None:
        """Show that `steps` of the epoch are done, and the loss of the last."""
        self._bars.update(self._epoch, completed=steps, note=f"loss {loss:.4f}")

    def epoch(self, record: "Record") -> None:
        """Show that an epoch is done, and its results."""
        epoch = record.epoch
        say(
            self._console,
            f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}   loss {record.losses[-1]:.4f}   "
            f"test accuracy {record.raw_accuracies[-1]:7.2%}, averaged {record.accuracies[-1]:7.2%}",
        )
        self._bars.update(self._training, completed=epoch)
        self._bars.reset(self._epoch, description=f"epoch {epoch + 1}", visible=epoch < self._epochs)


def say(console: Console, text: str) -> None:
    """Print text unchanged, whatever the width of the terminal."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def print_report(console: Console, record: "Record", seconds: dict[str, float], paths: dict[str, Path]) -> None:
    """Print the result, the time of each part, and the paths of the files."""
    total = sum(seconds.values())
    raw = f"of the averaged weights; {record.raw_accuracies[-1]:.2%} without averaging"
    lines = [f"test accuracy {record.accuracies[-1]:9.2%}   {raw}", f"time        {total:9.2f} s"]
    for part, note in PARTS.items():
        name = part.replace("_", " ")
        lines.append(f"  {name:11} {seconds[part]:7.2f} s {seconds[part] / total:6.1%}   {note}".rstrip())
    lines += [f"{name:11}   {path}" for name, path in paths.items()]
    say(console, "\n" + "\n".join(lines))


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON."""
    path.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plot_curves(path: Path, record: "Record") -> None:
    """Draw the losses and the accuracies over the epochs into a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = range(1, record.epoch + 1)
    marker = "o" if record.epoch < 3 else ""
    # A figure of its own, without pyplot: no global state, and PNG is drawn by Agg.
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, record.losses, color=_BLUE, marker=marker, label="training, distorted images")
    left.plot(epochs, record.test_losses, color=_ORANGE, marker=marker, label="test, averaged weights")
    left.set(title="Loss", ylabel="cross-entropy", yscale="log")
    left.legend(frameon=False)

    raw, averaged = record.raw_accuracies, record.accuracies
    right.plot(epochs, raw, color=_BLUE, alpha=0.5, marker=marker, label=f"weights as trained: {raw[-1]:.2%}")
    right.plot(epochs, averaged, color=_ORANGE, marker=marker, label=f"averaged weights: {averaged[-1]:.2%}")
    right.legend(loc="lower right", edgecolor="none", framealpha=0.9)
    # The first epochs climb from 10 %; shown in full they would flatten the rest.
    floor = min(0.95, *raw[record.epoch // 4 :], *averaged[record.epoch // 4 :])
    margin = 0.06 * (1 - floor)
    right.set(title="Test accuracy", ylabel="images recognized", ylim=(floor - margin, 1 + margin))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    for panel in (left, right):
        panel.set(xlabel="epoch", xlim=(min(1, record.epoch - 1), record.epoch))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(color=_GREY, alpha=0.2)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
