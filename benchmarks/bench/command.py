"""The command line of the benchmark: what can be measured, and in which order figures are written and shown."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.backends import BACKENDS, running_on
from bench.devices import CPU, DEVICES
from bench.models import VARIANTS
from bench.peers import FRONTENDS, PEERS
from bench.training import contenders as training
from bench.training import jobs
from bench.workloads import WORKLOADS
from rmsprop.cli import CommandError, exit_code
from rmsprop.cli._output import readable

if TYPE_CHECKING:
    from bench.report import Report

#: What can be measured, of one front end or another.
PARTS: Final = tuple(dict.fromkeys(part for frontend in FRONTENDS.values() for part in frontend.parts))

#: What can be measured of every front end, where it is asked for by name: train steps, cost against work, and the first
#: steps after a pause.
ASKED_FOR: Final = ("train", "scaling", "pauses")

#: The parts of which --plot has a picture.
_DRAWN: Final = {*WORKLOADS, "train", "scaling"}

_MODELS: Final = tuple(
    dict.fromkeys([*(model for workload in WORKLOADS.values() for model in workload.models), *jobs.MODELS])
)

_VARIANTS: Final = tuple(dict.fromkeys([*VARIANTS, *jobs.VARIANTS]))

_KERAS: Final = "keras"

_THREADS: Final = "RMSPROP_NUM_THREADS"

_DESCRIPTION = """\
Measure RMSprop's step on given gradients, whole calls with all their Python.

The contenders take turns in one process; medians are shown, and ratios to
rmsprop's time in the same round. The memory limit is the fastest of several
plain loops that move as many bytes as the step. It takes about three minutes
and, for the 25 M model, 4 GB of memory. Leave the machine alone meanwhile.

Of tf_keras's front end, steps are in a tf.function; besides them there are
steps taken eagerly, whole steps of fit, a table of which a step touches few
rows, and the memory that steps take: about ten minutes, and 8 GB.

Of torch's front end, one peer runs in torch.compile, which takes a minute to
compile ResNet-50's step: about ten minutes in all. With --device cuda there
is a tensor of 100 M numbers, and a device-to-device copy is the limit.

Of jax's front end, a step is a jitted function that is given the memory of
parameters and state, and the peer is one of optax's; compiling is timed too.

Three parts are measured where --part names them: "train", whole train steps
and the optimizer's part of them; "scaling", the cost of a step by the numbers,
tensors and threads, and by the size of a table of which a step has some rows
(tf_keras); and "pauses", the first steps after a while without any. With
--busy another process computes on every core.

Keras 3 runs on one backend in a process, --backend or else KERAS_BACKEND: a
step is in a tf.function, jitted or done by torch as the backend's trainer has
it, and whole steps of fit are measured too.
"""

_EPILOG = """\
examples, each after `python benchmarks/run.py`, or within `make bench ARGS="..."`:
                                                       everything
  --model mlp --variant plain --part steps             one row of it
  --json bench.json --plot bench.png                   for programs, for people
  --from bench.json --plot bench.png                   draw it again
  --peer torch --threads 1                             against one, on one core
  --frontend tf_keras --part fit                       train steps in tf_keras
  --frontend torch --device cuda                       steps of tensors on a GPU
  --frontend jax --part compilation                    how long JAX compiles a step
  --frontend keras --backend torch                     Keras 3 on torch
  --frontend torch --part train --plot train.png       train steps of five models in torch
  --frontend torch --part train --model dqn --busy     one of them on a busy machine
  --frontend jax --part train --processes 5            in five processes, put together
  --frontend numpy --part pauses                       DQN's steps after 0 to 100 ms without one
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code.

    Args:
        arguments: those of the command line without the program's name; None: those of this process.
    """
    with readable():
        options = make_parser().parse_args(arguments)
        return exit_code("bench", lambda: run(options))


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        "bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to measure (the repeatable ones default to all of the front end)")
    what.add_argument("--frontend", choices=FRONTENDS, default="numpy", help="ours (default: %(default)s)")
    what.add_argument("--backend", choices=BACKENDS, help="of Keras 3, only with --frontend keras")
    what.add_argument("--device", choices=DEVICES, default="cpu", help="where the tensors lie (default: %(default)s)")
    what.add_argument("--model", choices=_MODELS, action="append", help="repeatable")
    what.add_argument("--variant", choices=_VARIANTS, action="append", help="of the options; repeatable")
    what.add_argument(
        "--peer", choices=[*dict.fromkeys([*PEERS, *training.PEERS]), "none"], action="append", help="repeatable"
    )
    what.add_argument("--part", choices=[*PARTS, *ASKED_FOR], action="append", help="of the report; repeatable")
    how = parser.add_argument_group("how to measure")
    each = "for each model and variant (default: %(default)s)"
    how.add_argument("--seconds", type=_number(float), default=3.0, metavar="S", help=each)
    how.add_argument("--repeat", type=_number(int), metavar="N", help="rounds instead of seconds")
    how.add_argument(
        "--processes", type=_number(int), default=1, metavar="N", help="new ones for each model's train steps"
    )
    how.add_argument("--busy", action="store_true", help="let another process compute on every core meanwhile")
    how.add_argument("--threads", type=_number(int), metavar="N", help="for all (default: each contender's own)")
    files = parser.add_argument_group("files")
    files.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    files.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the steps there, or else train steps or scaling; PNG"
    )
    files.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing, read a --json file")
    return parser


def _number(kind: type[int] | type[float]) -> Callable[[str], float]:
    """Make a converter of an option's text: a number above 0."""

    def convert(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = kind(0)
        if number > 0 and math.isfinite(number):
            return number
        raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number above 0")

    return convert


def run(options: argparse.Namespace) -> int:
    """Measure, write and show what the options ask for, and return the exit code."""
    try:
        _run(options)
    except OSError as problem:
        raise CommandError(str(problem)) from problem
    return 0


def _run(options: argparse.Namespace) -> None:
    from rich.console import Console

    from bench.report import Report, show

    peers, parts = _peer_names(options), _part_names(options)
    _check_device(options, parts)
    if options.plot and not options.source and not _DRAWN & set(parts):
        raise CommandError(f"--plot: there is no picture of --part {' '.join(parts)}")
    if options.backend and options.frontend != _KERAS:
        raise CommandError(f"--backend {options.backend}: only --frontend {_KERAS} has it, not {options.frontend}")
    for path in (options.json, options.plot):
        if path and not path.parent.is_dir():
            raise CommandError(f"there is no folder {path.parent}")
    # What is not a terminal, a file or a pipe, has room for the tables.
    console = Console() if sys.stdout.isatty() else Console(width=100)
    if options.source:
        report = Report.read(options.source)
    else:
        from bench.measure import Session

        on_keras = running_on(options.backend) if options.frontend == _KERAS else nullcontext()
        with _threads(options.threads), on_keras as options.backend:
            # Nothing is loaded for peers that no part asks for.
            session = Session(options, peers if set(parts) - set(ASKED_FOR) else [], console)
            try:
                report = session.measure(parts)
            except BaseException:
                # What was finished before a failure or Ctrl-C has been measured all the same. So has what cannot be
                # shown, as to a reader that is gone (Rich exits then).
                if options.json and session.report.rows:
                    session.report.write(options.json)
                raise
    _write(report, options)
    if options.source:
        show(report, console)
    for path in (options.json, options.plot):
        if path:
            console.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)


def _peer_names(options: argparse.Namespace) -> list[str]:
    names = list(dict.fromkeys(options.peer or FRONTENDS[options.frontend].peers))
    if "none" not in names:
        return names
    if len(names) > 1:
        raise CommandError("--peer none goes with no other --peer")
    return []


def _part_names(options: argparse.Namespace) -> tuple[str, ...]:
    known = FRONTENDS[options.frontend].parts
    for part in options.part or ():
        if part not in (*known, *ASKED_FOR):
            there = ", ".join((*known, *ASKED_FOR))
            raise CommandError(f"--part {part}: of the front end {options.frontend} there are {there}")
    parts = tuple(dict.fromkeys(options.part or known))
    if options.processes > 1 and "train" not in parts:
        raise CommandError(f"--processes {options.processes} goes with --part train, not with {' '.join(parts)}")
    if set(parts) - {"train"}:
        _check_names("peer", set(options.peer or ()) - {"none"}, PEERS, parts)
        _check_names("variant", options.variant or (), VARIANTS, parts)
    return parts


def _check_names(option: str, names: Iterable[str], known: Container[str], parts: Sequence[str]) -> None:
    """Refuse names that train steps alone have, where other parts are measured, too."""
    for name in names:
        if name not in known:
            raise CommandError(f"--{option} {name} goes with --part train, not with {' '.join(parts)}")


def _check_device(options: argparse.Namespace, parts: Sequence[str]) -> None:
    known = FRONTENDS[options.frontend].ours.devices
    if options.device not in known:
        raise CommandError(f"--device {options.device}: the front end {options.frontend} runs on {', '.join(known)}")
    here = [part for part in ASKED_FOR if part in parts]
    if options.device != CPU and here:
        raise CommandError(f"--device {options.device}: --part {' '.join(here)} is measured on {CPU}")


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let rmsprop, in this process and its children, use so many threads."""
    before = os.environ.get(_THREADS)
    if number is not None:
        os.environ[_THREADS] = str(number)
    try:
        yield
    finally:
        if number is not None:
            os.environ.pop(_THREADS)
            if before is not None:
                os.environ[_THREADS] = before


def _write(report: "Report", options: argparse.Namespace) -> None:
    if options.json:
        report.write(options.json)
    if options.plot:
        from bench.plot import draw

        draw(report, options.plot)
