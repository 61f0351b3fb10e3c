"""The network on NumPy arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy as anp
import numpy
import threadpoolctl

import rmsprop
from rmsprop.cli._digits import Array


class NumpyNetwork:
    """NumPy arrays, gradients from the package autograd, and `rmsprop.RMSprop`.

    Args:
        variables: see `rmsprop.cli._network.start_values`; they are trained in place.
        learning_rate: of the optimizer.
    """

    def __init__(self, variables: dict[str, Array], learning_rate: float) -> None:
        self._variables = list(variables.values())
        self._loss_and_gradients = autograd.value_and_grad(_loss)
        # Matrices this small are multiplied several times faster by one thread than by two that wait for each other.
        self._blas = threadpoolctl.ThreadpoolController()
        self._optimizer = rmsprop.RMSprop(learning_rate, use_ema=True, ema_overwrite_frequency=None)
        self._optimizer.build(variables)

    @property
    def parameters(self) -> int:
        """See `Network`."""
        return sum(variable.size for variable in self._variables)

    @property
    def iterations(self) -> int:
        """See `Network`."""
        return int(self._optimizer.iterations)

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[Array]]:
        """See `Network`."""
        # A loss that is not finite is the caller's to report, once and in words.
        with numpy.errstate(over="ignore", invalid="ignore"), self._blas.limit(limits=1):
            loss, gradients = self._loss_and_gradients(self._variables, images, labels)
        return float(loss), gradients

    def step(self, gradients: list[Array]) -> None:
        """See `Network`."""
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        with numpy.errstate(over="ignore", invalid="ignore"), self._blas.limit(limits=1):
            loss = float(_loss(self._variables, images, labels))
            found = _logits(self._variables, images).argmax(axis=1)
        return loss, float(numpy.mean(found == labels.argmax(axis=1)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """See `Network`."""
        trained = [variable.copy() for variable in self._variables]
        self._optimizer.finalize_variable_values(self._variables)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, trained, strict=True):
                variable[...] = value

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """See `Network`."""
        self._optimizer.save(path, variables=True, metadata=metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        self._optimizer.load(path, variables=True)


# What autograd follows, in its NumPy.


def _logits(variables: list[Array], images: Array) -> Any:
    *hidden, weights, biases = variables
    active = images
    for inner, offset in zip(hidden[::2], hidden[1::2], strict=True):
        active = anp.maximum(anp.dot(active, inner) + offset, 0)
    return anp.dot(active, weights) + biases


def _loss(variables: list[Array], images: Array, labels: Array) -> Any:
    """Give the mean cross-entropy."""
    logits = _logits(variables, images)
    logits = logits - anp.max(logits, axis=1, keepdims=True)
    likelihood = logits - anp.log(anp.sum(anp.exp(logits), axis=1, keepdims=True))
    return -anp.mean(anp.sum(likelihood * labels, axis=1))
