"""The command line of the run on a CUDA device."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.devices import CPU, CUDA, DEVICES
from bench.frameworks import load
from bench.gpu.contenders import OURS
from bench.gpu.measure import CASES, TINY, Session, measure_all, without_rows
from bench.machine import describe_machine
from bench.timing import Budget
from rmsprop._core.switches import default_threads

ROOT: Final = Path(__file__).parents[3]

#: Seconds for everything, and of them for the tests and for what is done when the time is over.
_ALL, _TESTS, _CLOSING = 520.0, 200.0, 15.0


class _OverError(BaseException):
    """The time is over: no exception that a contender's failure is taken for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Test, measure, write and draw.

    Args:
        arguments: those of the command line without the program's name; None: those of this process.

    Returns:
        The exit code: 1 where a test failed, the tests did not come to their end, or ours could not step.
    """
    options = make_parser().parse_args(arguments)
    start = time.monotonic()

    def left() -> float:
        return float(options.limit) - _CLOSING - (time.monotonic() - start)

    torch = load("torch")
    if options.device == CUDA and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} finds no CUDA device here; --device cpu --tiny tries the code", file=sys.stderr
        )
        return 2
    found: dict[str, Any] = {"format": 1, "machine": _machine(options.device), "tests": None, "not_measured": []}
    if not options.no_tests:
        found["tests"] = run_tests(min(_TESTS, left()))
        print(f"tests/cuda: {found['tests']['summary']}", flush=True)
    session = Session(options.device, Budget(0.1, 2) if options.tiny else Budget(2.0))
    cases = TINY if options.tiny else CASES
    try:
        with _stopped_after(left()):
            found["not_measured"] = measure_all(session, cases, left)
    except _OverError:
        found["not_measured"] = [f"{case} (the time was over)" for case in without_rows(session, cases)]
    finally:
        found |= {"left_out": session.left_out, "rows": session.rows}
        options.json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"written: {options.json}")
    _show(found)
    from bench.gpu.plot import draw

    draw(found, options.plot)
    print(f"written: {options.plot}")
    # Also where they were stopped (None), and where there was none to run (pytest's 5).
    tests_failed = bool(found["tests"]) and found["tests"]["status"] != 0
    return int(tests_failed or any(name.startswith(OURS) for name in session.failed))


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser("gpu.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", choices=DEVICES, default=CUDA, help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="a few numbers, two rounds: to see that the code runs")
    parser.add_argument("--no-tests", action="store_true", help="leave out tests/cuda")
    parser.add_argument("--limit", type=float, default=_ALL, metavar="S", help="seconds in all (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--plot", type=Path, default=Path("gpu.png"), metavar="FILE", help="default: %(default)s")
    return parser


def run_tests(limit: float) -> dict[str, Any]:
    """Run tests/cuda in a process of its own; "status" is pytest's, None where it was stopped at the limit."""
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "tests/cuda"]
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"status": None, "summary": f"stopped after {limit:.0f} s", "failures": [], "seconds": limit}
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["no output"]
    failures = [line for line in lines if re.match(r"(FAILED|ERROR) ", line)]
    seconds = time.monotonic() - start
    return {"status": done.returncode, "summary": lines[-1].strip("= "), "failures": failures, "seconds": seconds}


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise an `_OverError` within a ``with`` block when the time is over, where the system has timers."""

    def stop(number: int, frame: object) -> None:
        raise _OverError

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _machine(device: str) -> dict[str, Any]:
    """Describe the machine, and the card with the bandwidth that its clock and bus width say."""
    machine = describe_machine(["numpy", "numba", "torch", "triton", "apex"], default_threads())
    if device == CPU:
        return machine | {"device": CPU}
    torch = load("torch")
    card = torch.cuda.get_device_properties(0)
    machine |= {"device": card.name, "memory_bytes": card.total_memory, "multiprocessors": card.multi_processor_count}
    machine |= {"capability": f"{card.major}.{card.minor}", "cuda": torch.version.cuda}
    clock, width = (getattr(card, name, None) for name in ("memory_clock_rate", "memory_bus_width"))
    # Kilohertz and bits; the memory moves data twice a clock.
    machine["nominal_bytes_per_second"] = 2 * clock * 1e3 * width / 8 if clock and width else None
    return machine


def _show(found: dict[str, Any]) -> None:
    for name, reason in found["left_out"].items():
        print(f"left out: {name}: {reason}")
    for missed in found["not_measured"]:
        print(f"not measured: {missed}")
    for row in found["rows"]:
        speed = f"{row['bytes_per_second'] / 1e9:8.1f} GB/s, {row['part_of_copy']:5.0%} of the copy"
        print(f"{row['case']:>12} {row['variant']:24} {row['peer']:18} {row['seconds'] * 1e6:12.1f} us {speed}")
