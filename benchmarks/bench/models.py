"""What is stepped: models as lists of tensor shapes, and variants of the optimizer's options.

A benchmark of an optimizer needs no network: it needs the tensors, as many and as large as a real network has, some
numbers in them, and gradients of the usual size.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any, Final, NamedTuple

import numpy
from numpy.typing import NDArray

Shape = tuple[int, ...]
Array = NDArray[numpy.float32]


def mlp() -> list[Shape]:
    """Return a network of three dense layers, as small agents have: the cost of a call is all there is."""
    return [shape for inputs, outputs in pairwise((8, 64, 64, 4)) for shape in ((inputs, outputs), (outputs,))]


def dqn() -> list[Shape]:
    """Return the network of Mnih et al. (Nature, 2015), which was trained with RMSprop, for 18 actions."""
    kernels: list[Shape] = [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136), (18, 512)]
    return [shape for kernel in kernels for shape in (kernel, kernel[:1])]


def resnet50() -> list[Shape]:
    """Return the network of He et al. (2015), version 1: convolutions, two vectors a batch norm, the last layer."""
    shapes = _convolution(64, 3, 7)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += _convolution(width, inputs, 1) + _convolution(width, width, 3)
            shapes += _convolution(4 * width, width, 1)
            if block == 0:
                shapes += _convolution(4 * width, inputs, 1)
            inputs = 4 * width
    return [*shapes, (1000, inputs), (1000,)]


def _convolution(outputs: int, inputs: int, side: int) -> list[Shape]:
    return [(outputs, inputs, side, side), (outputs,), (outputs,)]


def flat25m() -> list[Shape]:
    """Return one tensor that no cache holds: memory is all there is."""
    return [(25_000_000,)]


def flat100m() -> list[Shape]:
    """Return one tensor that no cache of a GPU holds either."""
    return [(100_000_000,)]


MODELS: Final[dict[str, Callable[[], list[Shape]]]] = {
    "mlp": mlp,
    "dqn": dqn,
    "resnet50": resnet50,
    "flat25m": flat25m,
    "flat100m": flat100m,
}

_MOMENTUM: Final[dict[str, Any]] = {"momentum": 0.9}
_CENTERED: Final[dict[str, Any]] = {**_MOMENTUM, "centered": True}
_EVERYTHING: Final[dict[str, Any]] = {
    **_CENTERED, "weight_decay": 1e-4, "global_clipnorm": 0.5, "use_ema": True, "ema_overwrite_frequency": 100,
}  # fmt: skip

#: Variant -> options, by the names that they have in tf_keras and here.
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "momentum": _MOMENTUM,
    "centered+momentum": _CENTERED,
    "everything": _EVERYTHING,
}


class Task(NamedTuple):
    """One job that all contenders do, each on copies of its own.

    Attributes:
        variables: the values to start from.
        gradients: given anew, and the same, at every step.
        options: of the optimizer, by their names in tf_keras and here.
        steps: that a call of a contender does.
        device: that of the tensors, for frameworks that know several.
    """

    variables: list[Array]
    gradients: list[Array]
    options: dict[str, Any]
    steps: int = 1
    device: str = "cpu"


def make_task(shapes: list[Shape], options: dict[str, Any]) -> Task:
    """Fill the tensors. A gradient of 0.01 keeps every square far from the slow denormal numbers."""
    generator = numpy.random.default_rng(0)

    def normal() -> list[Array]:
        return [generator.standard_normal(shape, numpy.float32) for shape in shapes]

    variables, gradients = normal(), normal()
    for gradient in gradients:
        gradient *= numpy.float32(0.01)
    return Task(variables, gradients, options)


def count_numbers(shapes: list[Shape]) -> int:
    """Count the numbers in all tensors."""
    return sum(prod(shape) for shape in shapes)
