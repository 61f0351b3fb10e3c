"""``rmsprop train``: train a small network on handwritten digits, stop and go on at any step."""

import argparse
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rmsprop import __version__
from rmsprop.cli import CommandError
from rmsprop.cli._training import Record, Settings, Stop, Training

if TYPE_CHECKING:
    from rich.console import Console

    from rmsprop.cli._report import Clock

BACKENDS: Final = ("numpy",)

_DESCRIPTION = """\
Train a small network on scikit-learn's handwritten digits with rmsprop.RMSprop.

A few seconds on two cores give about 99 % test accuracy. Ctrl-C stops after the
current step; --resume goes on from there, and ends with the same bits as if
nothing had happened.
"""

_EPILOG = """\
examples:
  rmsprop train                                  the demonstration, files in runs/digits
  rmsprop train --hidden 64 --learning-rate 3e-3 a smaller network
  rmsprop train --resume                         go on after Ctrl-C
  rmsprop train --resume --epochs 90             train a finished run for longer
  rmsprop train --json figures.json              for programs
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to those of the program."""
    parser = subparsers.add_parser(
        "train",
        help="train a small network on handwritten digits",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    default = Settings()
    sizes = " ".join(map(str, default.hidden))
    count, rate = _number(int, 1), _number(float, 0.0)

    # None means "not given": a resumed training then keeps what it had.
    what = parser.add_argument_group("what to train")
    what.add_argument("--backend", choices=BACKENDS, help=f"array library (default: {default.backend})")
    what.add_argument("--hidden", type=count, nargs="+", metavar="N", help=f"sizes of the layers (default: {sizes})")
    what.add_argument("--seed", type=_number(int, 0), help=f"of everything random (default: {default.seed})")
    how = parser.add_argument_group("how to train")
    how.add_argument("--epochs", type=count, metavar="N", help=f"passes over the images (default: {Record.epochs})")
    how.add_argument("--batch-size", type=count, metavar="N", help=f"images a step (default: {default.batch_size})")
    how.add_argument("--learning-rate", type=rate, metavar="X", help=f"(default: {default.learning_rate})")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--out", type=Path, default=Path("runs/digits"), metavar="DIR", help="for the checkpoint and the curves "
        "(default: %(default)s)"
    )  # fmt: skip
    files.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for programs")
    files.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, up to --epochs")


def _number(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    """Make a converter of an option's text: whole numbers from `least` on, or finite ones above it."""
    allowed = f"a whole number of at least {least}" if kind is int else f"a finite number above {least:g}"

    def convert(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = kind(-1)
        if math.isfinite(number) and (number >= least if kind is int else number > least):
            return number
        raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")

    return convert


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and give the exit code."""
    from rmsprop.cli._report import Clock

    try:
        return _run(options, Clock())
    except OSError as problem:
        raise CommandError(str(problem)) from problem


def _run(options: argparse.Namespace, clock: "Clock") -> int:
    from rich.console import Console

    from rmsprop.cli._report import Display

    console = Console()
    with clock.measure("start"):
        training = _prepare(options, clock, console)
    done = training.record.epoch
    display = Display(console, epochs=training.record.epochs, epoch=done, steps=training.steps_an_epoch)
    with Stop() as stop, display:
        training.run(display, stop)
    if stop.requested:
        _say_how_to_resume(console, training, options)
        return 130
    _finish(console, training, options, clock)
    return 0
