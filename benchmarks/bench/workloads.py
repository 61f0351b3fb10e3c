"""What is timed: kinds of work, each with its models and the variants that are measured by default."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import numpy
from numpy.typing import NDArray

from bench.models import MODELS, VARIANTS, Array, Shape, make_task

#: Steps of an epoch of `fit`: so many that its start, of some 50 ms, is hardly seen.
FIT_STEPS: Final = 250

#: Rows of a table that a step touches.
TOUCHED: Final = 1000


class AnyTask(Protocol):
    """What all tasks have."""

    @property
    def options(self) -> dict[str, Any]:
        """Those of the optimizer, by their names in tf_keras and here."""

    @property
    def steps(self) -> int:
        """Steps that a call of a contender does."""


class TableTask(NamedTuple):
    """A table of which a step touches some rows, always the same.

    Attributes:
        table: the values to start from.
        rows: the numbers of the rows, each once, in no order.
        values: the gradient's, a row for each of them.
        options: of the optimizer, by their names in tf_keras and here.
        steps: that a call of a contender does.
    """

    table: Array
    rows: NDArray[numpy.int64]
    values: Array
    options: dict[str, Any]
    steps: int = 1


class FitTask(NamedTuple):
    """An epoch of training dense layers.

    Attributes:
        variables: weights and biases of each layer in turn, to start from.
        images: the inputs, a row each.
        labels: the class of each.
        options: of the optimizer, by their names in tf_keras and here.
        steps: of an epoch, which a call of a contender is.
    """

    variables: list[Array]
    images: Array
    labels: NDArray[numpy.int64]
    options: dict[str, Any]
    steps: int

    @property
    def batch(self) -> int:
        """Images a step."""
        return len(self.images) // self.steps


def make_table_task(shapes: list[Shape], options: dict[str, Any], touched: int = TOUCHED) -> TableTask:
    """Fill the table and its gradient, which has the size that `make_task` gives."""
    ((height, width),) = shapes
    generator = numpy.random.default_rng(0)
    start = generator.standard_normal((height, width), numpy.float32)
    rows = generator.permutation(height)[:touched]
    values = generator.standard_normal((len(rows), width), numpy.float32) * numpy.float32(0.01)
    return TableTask(start, rows, values, options)


def make_fit_task(shapes: list[Shape], options: dict[str, Any], batch: int = 32, steps: int = FIT_STEPS) -> FitTask:
    """Fill network and data. Labels are drawn: what cannot be learned keeps gradients of the usual size."""
    generator = numpy.random.default_rng(0)
    variables = [numpy.zeros(shape, numpy.float32) for shape in shapes]
    for kernel in variables[::2]:
        kernel[...] = generator.standard_normal(kernel.shape, numpy.float32) * math.sqrt(2 / len(kernel))
    images = generator.random((steps * batch, shapes[0][0]), numpy.float32)
    labels = generator.integers(0, shapes[-1][0], len(images))
    return FitTask(variables, images, labels, options, steps)


def classifier() -> list[Shape]:
    """Return dense layers for images of 28 by 28 pixels in ten classes."""
    return [shape for inputs, outputs in pairwise((784, 1024, 1024, 10)) for shape in ((inputs, outputs), (outputs,))]


def table() -> list[Shape]:
    """Return the table of an Embedding layer."""
    return [(1_000_000, 64)]


class Workload(NamedTuple):
    """One kind of work.

    Attributes:
        kind: that of its rows in the report, and its contenders' name.
        words: said of it beside a model's name.
        models: by name.
        variants: of the options, measured by default.
        make_task: from shapes and options to a task.
    """

    kind: str
    words: str
    models: Mapping[str, Callable[[], list[Shape]]]
    variants: tuple[str, ...]
    make_task: Callable[[list[Shape], dict[str, Any]], AnyTask]


_LEAST_AND_MOST: Final = ("plain", "everything")

#: By the part of the report.
WORKLOADS: Final[dict[str, Workload]] = {
    "steps": Workload("step", "", MODELS, tuple(VARIANTS), make_task),
    "eager": Workload("eager", "eagerly", MODELS, tuple(VARIANTS), make_task),
    "fit": Workload("fit", "a whole step of fit", {"classifier": classifier}, _LEAST_AND_MOST, make_fit_task),
    "embedding": Workload("embedding", "few rows a step", {"table": table}, _LEAST_AND_MOST, make_table_task),
}

KINDS: Final = {workload.kind: workload for workload in WORKLOADS.values()}
