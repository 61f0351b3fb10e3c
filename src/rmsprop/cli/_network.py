"""The networks of ``rmsprop train``; a module for each framework, `_network_*`, trains them.

Of the dense one start values and batches are the same whatever the framework, so that losses can be compared.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy

from rmsprop.cli._digits import CLASSES, PIXELS, Array

if TYPE_CHECKING:
    from rmsprop.cli._training import Settings


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


def make_network(settings: "Settings") -> Network:
    """Make the network of a training with its start values.

    Raises:
        ImportError: what the backend needs is not installed, or broken.
    """
    if settings.network == "resnet":
        from rmsprop.cli._network_torch_resnet import TorchResNet

        return TorchResNet(settings.hidden, settings.learning_rate, settings.seed)
    variables = start_values(settings.hidden, settings.seed)
    if settings.backend == "jax":
        from rmsprop.cli._network_jax import JaxNetwork

        return JaxNetwork(variables, settings.learning_rate)
    if settings.backend == "keras":
        from rmsprop.cli._network_keras import KerasNetwork

        return KerasNetwork(variables, settings.learning_rate)
    if settings.backend == "tf_keras":
        from rmsprop.cli._network_tf_keras import TfKerasNetwork

        return TfKerasNetwork(variables, settings.learning_rate)
    if settings.backend == "torch":
        from rmsprop.cli._network_torch import TorchDense

        return TorchDense(variables, settings.learning_rate)
    from rmsprop.cli._network_numpy import NumpyNetwork

    return NumpyNetwork(variables, settings.learning_rate)


def start_values(hidden: Sequence[int], seed: int) -> dict[str, Array]:
    """Give name -> array for the dense network: weights and biases of each layer in turn."""
    generator = numpy.random.default_rng([seed, 0])
    variables = {}
    for layer, (inputs, outputs) in enumerate(pairwise((PIXELS, *hidden, CLASSES)), start=1):
        start = generator.standard_normal((inputs, outputs)) * math.sqrt(2 / inputs)
        variables[f"layer{layer}/weights"] = start.astype(numpy.float32)
        variables[f"layer{layer}/biases"] = numpy.zeros(outputs, numpy.float32)
    return variables
