"""What ``rmsprop train`` shows: progress, where the time went, the curves, and the figures for programs."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: The parts of the time, in the order of the report, with a word on each.
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


class Clock:
    """Adds up the time that the parts of a run take.

    Attributes:
        parts: the seconds of each of `PARTS` but the rest.
    """

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
        """Give the seconds of all parts, the rest included; their sum is the time since the clock was made."""
        seconds = time.perf_counter() - self._start
        return {**self.parts, "rest": max(0.0, seconds - sum(self.parts.values()))}


class Display:
    """Tells how the training goes: a line an epoch, and bars below the lines where they can move.

    Args:
        console: where to; what is not a terminal gets the lines alone.
        epochs: how many there will be.
        epoch: how many are done.
        steps: how many an epoch has.
    """

    def __init__(self, console: Console, *, epochs: int, epoch: int, steps: int) -> None:
        self._console, self._epochs = console, epochs
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._training = self._bars.add_task("epochs", total=epochs, completed=epoch, note="")
        self._epoch = self._bars.add_task(f"epoch {epoch + 1}", total=steps, note="")

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def step(self, steps: int, loss: float) -> None:
        """Say that `steps` of the epoch are done, and what the last one's loss was."""
        self._bars.update(self._epoch, completed=steps, note=f"loss {loss:.4f}")

    def epoch(self, epoch: int, loss: float, test_loss: float, accuracy: float) -> None:
        """Say that an epoch is done, and what came out of it."""
        self._console.print(
            f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}   loss {loss:.4f}   "
            f"test loss {test_loss:.4f}   test accuracy {accuracy:7.2%}",
            soft_wrap=True,
            highlight=False,
        )
        self._bars.update(self._training, completed=epoch)
        self._bars.reset(self._epoch, description=f"epoch {epoch + 1}", visible=epoch < self._epochs)


def print_report(console: Console, accuracy: float, seconds: dict[str, float], paths: dict[str, Path]) -> None:
    """Print the result, where the time went, and where the files are."""
    total = sum(seconds.values())
    lines = [f"test accuracy {accuracy:9.2%}   of the averaged weights", f"time        {total:9.2f} s"]
    for part, note in PARTS.items():
        name = part.replace("_", " ")
        lines.append(f"  {name:11} {seconds[part]:7.2f} s {seconds[part] / total:6.1%}   {note}".rstrip())
    lines += [f"{name:11}   {path}" for name, path in paths.items()]
    console.print("\n" + "\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON."""
    path.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plot_curves(path: Path, losses: Sequence[float], test_losses: Sequence[float], accuracies: Sequence[float]) -> None:
    """Draw the losses and the accuracy over the epochs into a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = range(1, len(losses) + 1)
    marker = "o" if len(losses) < 3 else ""
    # A figure of its own, without pyplot: no global state, and PNG is drawn by Agg.
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, losses, color=_BLUE, marker=marker, label="training, distorted images")
    left.plot(epochs, test_losses, color=_ORANGE, marker=marker, label="test, averaged weights")
    left.set(title="Loss", ylabel="cross-entropy", yscale="log")
    left.legend(frameon=False)

    right.plot(epochs, accuracies, color=_ORANGE, marker=marker)
    # From where the early epochs no longer flatten the rest.
    floor = min(0.95, *accuracies[len(accuracies) // 4 :], 1.0)
    right.set(title="Test accuracy", ylabel="images told right", ylim=(floor - 0.1 * (1 - floor), 1.002))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    end, below = (epochs[-1], accuracies[-1]), (0, -14)
    right.annotate(f"{accuracies[-1]:.2%}", end, below, textcoords="offset points", ha="right", va="top")
    for panel in (left, right):
        panel.set(xlabel="epoch", xlim=(min(1, len(losses) - 1), len(losses)))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(color=_GREY, alpha=0.2)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
