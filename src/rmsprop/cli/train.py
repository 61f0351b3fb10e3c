"""``rmsprop train``: train a small network on handwritten digits, with stop and resume at any step."""

import argparse
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmsprop import __version__
from rmsprop.cli import CommandError
from rmsprop.cli._training import AnotherBackend, Record, Settings, Stop, Training

if TYPE_CHECKING:
    from rich.console import Console

    from rmsprop.cli._report import Clock

_DESCRIPTION = """\
Train a small network of NumPy arrays on scikit-learn's handwritten digits with
RMSprop.

A few seconds on two cores give about 99 % test accuracy. Ctrl-C stops after the
current step; --resume goes on from there, and ends with the same bits as if
nothing had happened.
"""

_EPILOG = """\
examples:
  rmsprop train                                   the demonstration, files in runs/digits
  rmsprop train --hidden 64 --learning-rate 3e-3  a smaller network
  rmsprop train --resume                          go on after Ctrl-C
  rmsprop train --resume --epochs 90              train a finished run for longer
  rmsprop train --json figures.json               for programs
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to those of the program."""
    parser = subparsers.add_parser(
        "train", help="train a small network on handwritten digits", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    default = Settings()
    count, seed, rate = _number(int, 1), _number(int, 0), _number(float, 0.0)

    # None means "not given": a resumed training has its old settings then.
    what = parser.add_argument_group("what to train")
    sizes = f"sizes of the hidden layers (default: {_words(default.hidden)})"
    what.add_argument("--hidden", type=count, nargs="+", metavar="N", help=sizes)
    what.add_argument("--seed", type=seed, metavar="N", help=f"of everything random (default: {default.seed})")
    how = parser.add_argument_group("how to train")
    how.add_argument("--epochs", type=count, metavar="N", help=f"passes over the images (default: {Record.epochs})")
    how.add_argument("--batch-size", type=count, metavar="N", help=f"images a step (default: {default.batch_size})")
    how.add_argument("--learning-rate", type=rate, metavar="X", help=f"(default: {default.learning_rate:g})")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--out", type=Path, default=Path("runs/digits"), metavar="DIR", help="for the checkpoint and the curves "
        "(default: %(default)s)"
    )  # fmt: skip
    files.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for programs")
    files.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, up to --epochs")


def _number(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    """Return a converter of an option's text: whole numbers from `least` on, or finite ones above it."""
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
    """Run the subcommand and return the exit code."""
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
        # Needed last; its lack must be an error before the training.
        import_module("matplotlib.figure")
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


def _prepare(options: argparse.Namespace, clock: "Clock", console: "Console") -> Training:
    """Load the data, and make or read the network."""
    from rmsprop.cli._digits import load_digits
    from rmsprop.cli._network import Network
    from rmsprop.cli._report import say

    path = _paths(options)["checkpoint"]
    fresh = Record(Settings(**_given(options)), options.epochs or Record.epochs)
    record = _resumed(path, options) if options.resume else fresh
    settings = record.settings
    digits = load_digits(settings.seed)
    if settings.batch_size > len(digits.images):
        raise CommandError(f"--batch-size {settings.batch_size}: there are {len(digits.images)} training images")
    network = Network(settings.hidden, settings.learning_rate, settings.seed)
    if options.resume:
        try:
            network.load(path)
        except ValueError as problem:
            raise CommandError(f"--resume: {' '.join(str(problem).split())}") from problem
    elif path.exists():
        say(console, f"starts anew and will replace {path} (--resume goes on from it)")
    for folder in (options.out, *([options.json.parent] if options.json else [])):
        folder.mkdir(parents=True, exist_ok=True)
    return Training(record, digits, network, path, clock)


def _paths(options: argparse.Namespace) -> dict[str, Path]:
    return {"curves": options.out / "curves.png", "checkpoint": options.out / "checkpoint.safetensors"}


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings on the command line."""
    given = {entry.name: getattr(options, entry.name) for entry in fields(Settings)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
    }


def _resumed(path: Path, options: argparse.Namespace) -> Record:
    """Read the progress of the checkpoint, and refuse other settings."""
    record = _read_record(path)
    for name, value in _given(options).items():
        if value != (old := getattr(record.settings, name)):
            option = "--" + name.replace("_", "-")
            raise CommandError(f"{option} {_words(value)}: the checkpoint {path} was made with {option} {_words(old)}")
    if options.epochs is not None:
        if options.epochs < record.epoch + bool(record.step):
            done = f"{record.epoch} epochs" + (" and a part of the next" if record.step else "")
            raise CommandError(f"--epochs {options.epochs}: the checkpoint {path} has {done} already")
        record.epochs = options.epochs
    return record


def _read_record(path: Path) -> Record:
    from rmsprop._core.saving.safetensors import read_header

    if not path.is_file():
        raise CommandError(f"--resume: there is no checkpoint {path}")
    with open(path, "rb") as file:
        try:
            texts = read_header(file).texts
        except ValueError as problem:
            raise CommandError(f"--resume: {path} is not a checkpoint, or is damaged: {problem}") from problem
    try:
        return Record.from_metadata(texts)
    except AnotherBackend as backend:
        raise CommandError(
            f"--resume: {path} was made with --backend {backend}, and `rmsprop train` has NumPy alone now: train anew "
            "without --resume, which replaces the file, or see examples/ in rmsprop's sources for other frameworks"
        ) from backend
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as problem:
        raise CommandError(f"--resume: {path} is not a checkpoint of `rmsprop train`") from problem


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _say_how_to_resume(console: "Console", training: Training, options: argparse.Namespace) -> None:
    from rmsprop.cli._report import say

    record = training.record
    where = f"after {record.epoch} of {record.epochs} epochs"
    if record.step:
        where += f" and {record.step} of {training.steps_an_epoch} steps"
    command = ["rmsprop", "train", "--resume", "--out", str(options.out)]
    command += ["--json", str(options.json)] if options.json else []
    path = _paths(options)["checkpoint"]
    say(console, f"\nstopped {where}\ncheckpoint   {path}\ngo on with   {shlex.join(command)}")


def _finish(console: "Console", training: Training, options: argparse.Namespace, clock: "Clock") -> None:
    """Draw, write and print the results, in this order: an error while printing loses nothing."""
    from rmsprop.cli import _report

    record, paths = training.record, _paths(options)
    with clock.measure("curves"):
        _report.plot_curves(paths["curves"], record)
    seconds = clock.stop()
    if options.json:
        figures = {
            "rmsprop": __version__,
            **asdict(record.settings),
            "test_accuracy": record.accuracies[-1],
            "epochs": record.epochs,
            "steps": training.network.iterations,
            "parameters": training.network.parameters,
            "seconds": sum(seconds.values()),
            **{f"seconds_{part}": value for part, value in seconds.items()},
            "losses": record.losses,
            "test_losses": record.test_losses,
            "accuracies": record.accuracies,
            "raw_accuracies": record.raw_accuracies,
            "paths": {name: str(path) for name, path in paths.items()},
        }
        _report.write_figures(options.json, figures)
    _report.print_report(console, record, seconds, paths)
