"""The network on JAX's arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy

from rmsprop import _checkpoint, _slots
from rmsprop._jax.state import FIELDS
from rmsprop._options import Options
from rmsprop.cli._digits import Array
from rmsprop.jax import RMSprop, RMSpropState


class JaxNetwork:
    """A list of JAX's arrays on the CPU, with `rmsprop.jax.RMSprop`.

    Gradients, steps and evaluations are a jitted function each; a step is given the memory of parameters and state.

    Args:
        variables: see `rmsprop.cli._network.start_values`.
        learning_rate: of the optimizer.
    """

    def __init__(self, variables: dict[str, Array], learning_rate: float) -> None:
        self._names = list(variables)
        self._params = _put(list(variables.values()))
        self._options = Options(learning_rate, use_ema=True, ema_overwrite_frequency=None)
        self._optimizer = RMSprop(learning_rate, use_ema=True, ema_overwrite_frequency=None)
        self._state = _put(self._optimizer.init(self._params))
        self._apply = jax.jit(self._compute_step, donate_argnums=(0, 1))

    @property
    def parameters(self) -> int:
        """See `Network`."""
        return sum(variable.size for variable in self._params)

    @property
    def iterations(self) -> int:
        """See `Network`."""
        return int(self._state.iterations)

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[jax.Array]]:
        """See `Network`."""
        loss, gradients = _loss_and_gradients(self._params, images, labels)
        return float(loss), gradients

    def step(self, gradients: list[jax.Array]) -> None:
        """See `Network`."""
        self._params, self._state = self._apply(self._params, self._state, gradients)

    def _compute_step(
        self, params: list[jax.Array], state: RMSpropState, gradients: list[jax.Array]
    ) -> tuple[list[jax.Array], RMSpropState]:
        # Parameters and state come back in the order in which they come, so that each gets its own memory.
        moved: tuple[list[jax.Array], RMSpropState] = self._optimizer.apply_gradients(gradients, state, params)
        return moved

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        loss, right = _evaluation(self._params, images, labels)
        # Divided here: JAX would do it in float32.
        return float(loss), int(right) / len(images)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """See `Network`."""
        trained = self._params
        self._params = self._optimizer.finalize_variable_values(self._state, trained)
        try:
            yield
        finally:
            self._params = trained

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """See `Network`; the file is as the NumPy optimizer writes it."""
        _checkpoint.write(path, self._arrays(), self.iterations, self._options, metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        found = _checkpoint.read(path, self._arrays())
        tensors = {slot: [found.tensors[_slots.key(slot, name)] for name in self._names] for slot in self._tensors()}
        self._params = _put(tensors.pop("variable"))
        fields = {FIELDS[slot]: values for slot, values in tensors.items()}
        self._state = _put(self._state._replace(iterations=numpy.int32(found.iterations), **fields))

    def _tensors(self) -> dict[str, list[jax.Array]]:
        """Give the parameters and each kind of state, by the names that a checkpoint has for them."""
        slots = [slot.name for slot in _slots.slots(self._options)]
        return {"variable": self._params} | {slot: getattr(self._state, FIELDS[slot]) for slot in slots}

    def _arrays(self) -> dict[str, Array]:
        """Give what a checkpoint holds, by the keys that it has there."""
        return {
            _slots.key(slot, name): numpy.asarray(tensor)
            for slot, tensors in self._tensors().items()
            for name, tensor in zip(self._names, tensors, strict=True)
        }


def _put(tree: Any) -> Any:
    """Copy arrays to memory of their own, which a step may be given.

    On the CPU: a GPU does not pay for a network this small, and its sums need not come out the same twice. All of them:
    one that is bound to no device, and comes back bound to one, would have a step compiled twice.
    """
    return jax.device_put(jax.tree.map(jnp.array, tree), jax.devices("cpu")[0])


# What JAX compiles.


def _logits(params: list[jax.Array], images: Any) -> jax.Array:
    *hidden, weights, biases = params
    active = images
    for inner, offset in zip(hidden[::2], hidden[1::2], strict=True):
        active = jax.nn.relu(active @ inner + offset)
    logits: jax.Array = active @ weights + biases
    return logits


def _cross_entropy(logits: jax.Array, labels: Any) -> jax.Array:
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits) * labels, axis=1))


@jax.jit
@jax.value_and_grad
def _loss_and_gradients(params: list[jax.Array], images: Any, labels: Any) -> jax.Array:
    return _cross_entropy(_logits(params, images), labels)


@jax.jit
def _evaluation(params: list[jax.Array], images: Any, labels: Any) -> tuple[jax.Array, jax.Array]:
    """Give the mean loss, and how many are right."""
    logits = _logits(params, images)
    return _cross_entropy(logits, labels), jnp.sum(logits.argmax(axis=1) == labels.argmax(axis=1))
