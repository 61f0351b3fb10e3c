"""Handwritten digits and a small network for them: what ``rmsprop train`` trains.

The data are the 1797 images of 8 by 8 pixels that scikit-learn carries along (no download). A fifth, stratified, is
kept for the test. The training images are distorted a little, anew in every epoch: without that the network learns
them by heart and stays below 98 %.

Whatever is random comes from a generator made of (seed, epoch), so that an epoch can be repeated, or gone on with
in its middle, without the ones before.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import autograd
import autograd.numpy as anp
import numpy
import threadpoolctl
from numpy.typing import NDArray
from sklearn import datasets, model_selection

import rmsprop

Array = NDArray[numpy.float32]

CLASSES = 10
_SIDE = 8

#: How far a training image is distorted: every entry of the 2 by 2 matrix by up to this, and pixels of shift.
_BEND, _SHIFT = 0.1, 0.5


class Digits(NamedTuple):
    """Images as rows of 64 numbers from 0 to 1, labels as rows of ten with a single 1."""

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array


def load_digits(seed: int) -> Digits:
    """Load the data set and split it; the seed decides which images are kept for the test."""
    images, digits = datasets.load_digits(return_X_y=True)
    images = (images / 16).astype(numpy.float32)
    labels = numpy.eye(CLASSES, dtype=numpy.float32)[digits]
    images, test_images, labels, test_labels = model_selection.train_test_split(
        images, labels, test_size=0.2, stratify=digits, random_state=seed
    )
    return Digits(images, labels, test_images, test_labels)


def shuffled_epoch(digits: Digits, seed: int, epoch: int) -> tuple[Array, Array]:
    """Give the training images of an epoch, counted from 1, in its order and with its distortions."""
    generator = numpy.random.default_rng([seed, epoch])
    order = generator.permutation(len(digits.images))
    return _distort(digits.images[order], generator), digits.labels[order]


def _distort(images: Array, generator: numpy.random.Generator) -> Array:
    """Turn, stretch, shear and shift each image by a little of its own, interpolating linearly."""
    count = len(images)
    bend = numpy.eye(2) + generator.uniform(-_BEND, _BEND, (count, 2, 2))
    shift = generator.uniform(-_SHIFT, _SHIFT, (count, 2, 1))
    # Where each pixel of the result comes from, in an image with a frame of one empty pixel.
    grid = numpy.indices((_SIDE, _SIDE)).reshape(2, -1) - (_SIDE - 1) / 2
    place = numpy.clip(bend @ grid + shift + (_SIDE + 1) / 2, 0, _SIDE + 0.999)
    row, column = place.astype(int).transpose(1, 0, 2)
    down, right = (place % 1).transpose(1, 0, 2)
    framed = numpy.pad(images.reshape(-1, _SIDE, _SIDE), ((0, 0), (1, 1), (1, 1)))
    image = numpy.arange(count)[:, None]
    upper = framed[image, row, column] * (1 - right) + framed[image, row, column + 1] * right
    lower = framed[image, row + 1, column] * (1 - right) + framed[image, row + 1, column + 1] * right
    distorted: NDArray[numpy.float64] = upper * (1 - down) + lower * down
    return distorted.astype(numpy.float32)


class Network(Protocol):
    """What ``rmsprop train`` needs of a backend: a network, its gradients, and the optimizer that moves it."""

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""

    @property
    def iterations(self) -> int:
        """Steps that the optimizer has done."""

    def gradients(self, images: Array, labels: Array) -> tuple[float, Any]:
        """Give the mean loss of a batch and its gradients, in a form that `step` takes."""

    def step(self, gradients: Any) -> None:
        """Let the optimizer do a step."""

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """Give the mean loss and the accuracy."""

    def averaged(self) -> AbstractContextManager[None]:
        """Let the network have its averaged weights within a ``with`` block."""

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write weights and optimizer to a safetensors file, which is whole at any moment."""

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""


def make_network(backend: str, hidden: Sequence[int], learning_rate: float, seed: int) -> Network:
    """Make the network of a backend with its start values."""
    sizes = (_SIDE * _SIDE, *hidden, CLASSES)
    generator = numpy.random.default_rng([seed, 0])
    variables = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        start = generator.standard_normal((inputs, outputs)) * math.sqrt(2 / inputs)
        variables[f"layer{layer}/weights"] = start.astype(numpy.float32)
        variables[f"layer{layer}/biases"] = numpy.zeros(outputs, numpy.float32)
    return {"numpy": NumpyNetwork}[backend](variables, learning_rate)


class NumpyNetwork:
    """NumPy arrays, gradients from the package autograd, and `rmsprop.RMSprop`.

    Args:
        variables: name -> array; weights and biases of each layer in turn. They are trained in place.
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
