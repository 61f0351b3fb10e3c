"""Train steps in NumPy: dense layers by NumPy's BLAS, and an optimizer of ours or of torch on the same memory."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy

from bench.frameworks import load, torch_to_compile
from bench.models import Array
from bench.training import torch as in_torch
from bench.training.jobs import DENSE, RATE, Job

#: From variables, gradients and options to a function that does the optimizer's part of a step.
MakeOptimizer = Callable[[list[Array], list[Array], dict[str, Any]], Callable[[], object]]


class Trainer:
    """Dense layers with their gradients, which stay in the same memory, and an optimizer.

    Args:
        make_optimizer: None leaves it out.
        job: what is trained.
        options: of the optimizer.
    """

    def __init__(self, make_optimizer: MakeOptimizer | None, job: Job, options: dict[str, Any]) -> None:
        generator = numpy.random.default_rng(0)
        self._variables: list[Array] = []
        for inputs, outputs in pairwise(DENSE[job.model]):
            kernel = generator.standard_normal((inputs, outputs), numpy.float32) * numpy.float32(math.sqrt(2 / inputs))
            self._variables += [kernel, numpy.zeros(outputs, numpy.float32)]
        self._gradients = [numpy.zeros_like(variable) for variable in self._variables]
        self._inputs, self._places = job.inputs, (numpy.arange(len(job.labels)), job.labels)
        self._move = make_optimizer(self._variables, self._gradients, options) if make_optimizer else None

    def step(self) -> object:
        """Do one step."""
        self._backward(*self._forward())
        return self._move() if self._move else None

    def _forward(self) -> tuple[list[Array], Array]:
        """Return what each layer was given, and the gradient of the loss by the scores."""
        given: list[Array] = []
        x = self._inputs
        for kernel, bias in zip(self._variables[::2], self._variables[1::2], strict=True):
            x = numpy.maximum(x, 0) if given else x
            given.append(x)
            x = x @ kernel + bias
        chances = numpy.exp(x - x.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        chances[self._places] -= 1
        return given, chances / numpy.float32(len(chances))

    def _backward(self, given: list[Array], by_scores: Array) -> None:
        layers = list(zip(given, self._variables[::2], self._gradients[::2], self._gradients[1::2], strict=True))
        for place, (x, kernel, by_kernel, by_bias) in reversed(list(enumerate(layers))):
            numpy.matmul(x.T, by_scores, out=by_kernel)
            by_scores.sum(0, out=by_bias)
            if place:
                by_scores = (by_scores @ kernel.T) * (x > 0)

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""
        return [variable.copy() for variable in self._variables]


def make_sgd(variables: list[Array], gradients: list[Array], options: dict[str, Any]) -> Callable[[], object]:
    """Make plain gradient descent as it is written in NumPy."""
    rate = numpy.float32(RATE)

    def move() -> None:
        for variable, gradient in zip(variables, gradients, strict=True):
            variable -= rate * gradient

    return move


def make_ours(variables: list[Array], gradients: list[Array], options: dict[str, Any]) -> Callable[[], object]:
    """Make a `rmsprop.RMSprop`."""
    optimizer = load("rmsprop").RMSprop(RATE, **options)
    optimizer.build(variables)
    return lambda: optimizer.apply_gradients(zip(gradients, variables, strict=True))


def make_torchs(variables: list[Array], gradients: list[Array], options: dict[str, Any]) -> Callable[[], object]:
    """Make a `torch.optim.RMSprop` on the memory of the arrays."""
    torch = load("torch")
    parameters = [torch.nn.Parameter(torch.from_numpy(variable)) for variable in variables]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.from_numpy(gradient)
    move: Callable[[], object] = in_torch.make_torchs(parameters, options).step
    return move


def make_compiled(variables: list[Array], gradients: list[Array], options: dict[str, Any]) -> Callable[[], object]:
    """Make a `torch.optim.RMSprop` on the memory of the arrays, its step within `torch.compile`."""
    torch = torch_to_compile()
    move: Callable[[], object] = torch.compile(make_torchs(variables, gradients, options))
    return move
