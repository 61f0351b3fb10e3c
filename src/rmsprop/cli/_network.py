"""The network of ``rmsprop train``: dense layers on NumPy arrays, with gradients from the package autograd."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import autograd
import autograd.numpy as anp
import numpy
import threadpoolctl

import rmsprop
from rmsprop.cli._digits import CLASSES, PIXELS, Array


@final
class Network:
    """A network, its gradients, and the `rmsprop.RMSprop` that moves it.

    Args:
        hidden: sizes of the hidden layers.
        learning_rate: of the optimizer.
        seed: of the start values.
    """

    def __init__(self, hidden: Sequence[int], learning_rate: float, seed: int) -> None:
        named = _start_values(hidden, seed)
        self._variables = list(named.values())
        self._loss_and_gradients = autograd.value_and_grad(_loss)
        # Matrices this small are multiplied several times faster by one thread than by two that wait for each other.
        self._blas = threadpoolctl.ThreadpoolController()
        self._optimizer = rmsprop.RMSprop(learning_rate, use_ema=True, ema_overwrite_frequency=None)
        self._optimizer.build(named)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(variable.size for variable in self._variables)

    @property
    def iterations(self) -> int:
        """Steps that the optimizer has done."""
        return int(self._optimizer.iterations)

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[Array]]:
        """Return the mean loss of a batch and its gradients."""
        # A loss that is not finite is the caller's to report, once and in words.
        with numpy.errstate(over="ignore", invalid="ignore"), self._blas.limit(limits=1):
            loss, gradients = self._loss_and_gradients(self._variables, images, labels)
        return float(loss), gradients

    def step(self, gradients: list[Array]) -> None:
        """Apply the gradients: one step of the optimizer."""
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """Return the mean loss and the accuracy."""
        with numpy.errstate(over="ignore", invalid="ignore"), self._blas.limit(limits=1):
            loss = float(_loss(self._variables, images, labels))
            found = _logits(self._variables, images).argmax(axis=1)
        return loss, float(numpy.mean(found == labels.argmax(axis=1)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights within a ``with`` block."""
        trained = [variable.copy() for variable in self._variables]
        self._optimizer.finalize_variable_values(self._variables)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, trained, strict=True):
                variable[...] = value

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write weights and optimizer to a safetensors file, which is whole at any moment."""
        self._optimizer.save(path, variables=True, metadata=metadata)

    def load(self, path: Path) -> None:
        """Read a file of `save`."""
        self._optimizer.load(path, variables=True)


def _start_values(hidden: Sequence[int], seed: int) -> dict[str, Array]:
    """Return name -> array: weights and biases of each layer in turn."""
    generator = numpy.random.default_rng([seed, 0])
    variables = {}
    for layer, (inputs, outputs) in enumerate(pairwise((PIXELS, *hidden, CLASSES)), start=1):
        start = generator.standard_normal((inputs, outputs)) * math.sqrt(2 / inputs)
        variables[f"layer{layer}/weights"] = start.astype(numpy.float32)
        variables[f"layer{layer}/biases"] = numpy.zeros(outputs, numpy.float32)
    return variables


# Differentiated by autograd, in its NumPy.


def _logits(variables: list[Array], images: Array) -> Any:
    *hidden, weights, biases = variables
    active = images
    for inner, offset in zip(hidden[::2], hidden[1::2], strict=True):
        active = anp.maximum(anp.dot(active, inner) + offset, 0)
    return anp.dot(active, weights) + biases


def _loss(variables: list[Array], images: Array, labels: Array) -> Any:
    """Return the mean cross-entropy."""
    logits = _logits(variables, images)
    logits = logits - anp.max(logits, axis=1, keepdims=True)
    likelihood = logits - anp.log(anp.sum(anp.exp(logits), axis=1, keepdims=True))
    return -anp.mean(anp.sum(likelihood * labels, axis=1))
