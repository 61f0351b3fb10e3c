"""Cost against work: the time of a plain step by the numbers, by the tensors that hold them, and by the threads.

Where a framework has gradients of few rows, also by the size of the table that they are of.

Each point is measured in an interpreter of its own, because frameworks are told once how many threads they have.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bench.frameworks import set_threads
from bench.models import VARIANTS, Shape, count_numbers, make_task
from bench.peers import FRONTENDS, OURS, load_contenders
from bench.processes import measure_in_child
from bench.timing import Budget, interleave, ratio, summary
from bench.workloads import AnyTask, make_table_task
from rmsprop._core.switches import processors

Row = dict[str, Any]


class Point(NamedTuple):
    """Work to measure.

    Attributes:
        axis: what is varied: numbers, tensors, threads or table, the numbers of a table of which a step has some rows.
        numbers: in all tensors.
        tensors: of one size.
        threads: of each contender.
    """

    axis: str
    numbers: int
    tensors: int
    threads: int


#: Of the axis of numbers, in 10 tensors; of the axis of tensors, with 1 M numbers in all; of threads, 5 M in 10.
NUMBERS: Final = (5_000, 50_000, 500_000, 5_000_000, 25_000_000, 100_000_000)
TENSORS: Final = (10, 50, 200, 1000, 5000)
_FEW, _IN_TENSORS, _IN_THREADS = 10, 1_000_000, 5_000_000

#: Rows of a table, each of so many numbers; a step has a gradient of `bench.workloads.TOUCHED` rows.
ROWS: Final = (5_000, 50_000, 200_000, 1_000_000)
_WIDTH: Final = 64

#: Peers that are measured by default. A step within `torch.compile` takes minutes to compile for thousands of tensors.
DEFAULT_PEERS: Final = {
    "numpy": ("torch", "torch-foreach"),
    "torch": ("torch", "torch-foreach"),
    "jax": ("optax",),
    "tf_keras": ("tf_keras",),
    "keras": ("keras",),
}


def words(axis: str) -> str:
    """Name an axis for readers."""
    return "numbers of a table" if axis == "table" else axis


def column(axis: str) -> str:
    """Name the count of a point that an axis varies."""
    return "numbers" if axis == "table" else axis


def points(frontend: str) -> list[Point]:
    """Return all of a front end."""
    most = processors()
    found = [Point("numbers", numbers, _FEW, most) for numbers in NUMBERS]
    found += [Point("tensors", _IN_TENSORS, tensors, most) for tensors in TENSORS]
    found += [Point("threads", _IN_THREADS, _FEW, threads) for threads in range(1, most + 1)]
    with_tables = "embedding" in FRONTENDS[frontend].ours.makers
    return found + [Point("table", rows * _WIDTH, 1, most) for rows in ROWS if with_tables]


def measure_scaling(frontend: str, peers: Sequence[str], budget: Budget) -> Iterator[Row]:
    """Yield a row for each point and contender; "ratio" is to ours at the same point."""
    for point in points(frontend):
        found = measure_in_child("scaling", frontend, ",".join(peers), *map(str, point), *budget.words())
        for row in found["rows"]:
            yield {"kind": "scaling", "frontend": frontend, "variant": "plain", **point._asdict(), **row}


def measure_point(frontend: str, peers: Sequence[str], point: Point, budget: Budget) -> list[Row]:
    """Measure one point in this process, in which no framework has run anything yet."""
    os.environ["RMSPROP_NUM_THREADS"] = str(point.threads)
    everybody = load_contenders(frontend, peers)
    set_threads(point.threads)
    task, kind = make(point), "embedding" if point.axis == "table" else "step"
    contenders = {name: one.makers[kind](task) for name, one in everybody.items() if kind in one.makers}
    times = interleave({name: one.step for name, one in contenders.items()}, budget)
    return [{"peer": name, **summary(found), "ratio": ratio(found, times[OURS])} for name, found in times.items()]


def make(point: Point) -> AnyTask:
    """Fill the tensors of a point."""
    return (make_table_task if point.axis == "table" else make_task)(shapes(point), VARIANTS["plain"])


def shapes(point: Point) -> list[Shape]:
    """Return as many tensors of one size as the point says, or the shape of its table."""
    size = point.numbers // point.tensors
    made: list[Shape] = [(size // _WIDTH, _WIDTH) if point.axis == "table" else (size,)] * point.tensors
    assert count_numbers(made) == point.numbers
    return made
