"""The network as a model of Keras 3, on any of its backends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy

from rmsprop import _checkpoint, _slots
from rmsprop._attributes import HOMES
from rmsprop._options import Options
from rmsprop.cli._digits import CLASSES, PIXELS, Array
from rmsprop.cli.bench.backends import load_keras, on_cpu
from rmsprop.cli.bench.frameworks import load

# Not imported by statements: frameworks are not to chatter.
keras = load_keras()
RMSprop = load("rmsprop.keras").RMSprop

#: On which Keras runs.
BACKEND: Final = str(keras.backend.backend())

_OPTIONS: Final = Options(use_ema=True, ema_overwrite_frequency=None)

#: From images and labels to the loss and its gradients, as tensors.
_Gradients = Callable[[Array, Array], tuple[Any, list[Any]]]


class KerasNetwork:
    """A `keras.Sequential` of dense layers, with `rmsprop.keras.RMSprop`.

    Gradients are computed as the backend does it; everything else is the same on all of them.

    Args:
        variables: see `rmsprop.cli._network.start_values`.
        learning_rate: of the optimizer.
        make_optimizer: its class, ours or the original.
    """

    def __init__(
        self, variables: dict[str, Array], learning_rate: float, make_optimizer: Callable[..., Any] = RMSprop
    ) -> None:
        self._learning_rate = learning_rate
        with _on_one_cpu():
            self._names, self._model = list(variables), _make_model(variables)
            self._optimizer = make_optimizer(learning_rate, use_ema=True, ema_overwrite_frequency=None)
            self._optimizer.build(self._model.trainable_variables)
        self._gradients, self._apply = _FUNCTIONS[BACKEND](self._model, self._optimizer)

    @property
    def parameters(self) -> int:
        """See `Network`."""
        return int(self._model.count_params())

    @property
    def iterations(self) -> int:
        """See `Network`."""
        return int(_array(self._optimizer.iterations))

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[Any]]:
        """See `Network`."""
        with _on_one_cpu():
            loss, gradients = self._gradients(images, labels)
        return float(loss), gradients

    def step(self, gradients: list[Any]) -> None:
        """See `Network`."""
        with _on_one_cpu():
            self._apply(gradients)

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        with _on_one_cpu():
            # On torch what comes from variables would keep a graph, which nobody needs.
            logits = keras.ops.stop_gradient(self._model(images, training=False))
            loss = float(_loss(labels, logits))
            right = keras.ops.argmax(logits, axis=1) == keras.ops.argmax(labels, axis=1)
            # Divided here: in float64.
            return loss, int(keras.ops.sum(keras.ops.cast(right, "int32"))) / len(images)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """See `Network`."""
        variables = self._model.trainable_variables
        trained = [_array(variable) for variable in variables]
        self._optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            _assign(zip(variables, trained, strict=True))

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """See `Network`; the file is as the NumPy optimizer writes it."""
        options = Options(self._learning_rate, use_ema=_OPTIONS.use_ema, ema_overwrite_frequency=None)
        _checkpoint.write(path, self._arrays(), self.iterations, options, metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        found = _checkpoint.read(path, self._arrays())
        _assign((variable, found.tensors[key]) for key, variable in self._variables().items())
        self._optimizer.iterations.assign(found.iterations)

    def _variables(self) -> dict[str, Any]:
        """Give weights and state, by the keys that they have in a checkpoint."""
        slots = {"variable": self._model.trainable_variables}
        slots |= {slot.name: getattr(self._optimizer, HOMES[slot.name]) for slot in _slots.slots(_OPTIONS)}
        return {
            _slots.key(slot, name): variable
            for slot, variables in slots.items()
            for name, variable in zip(self._names, variables, strict=True)
        }

    def _arrays(self) -> dict[str, Array]:
        return {key: _array(variable) for key, variable in self._variables().items()}


def _make_model(variables: dict[str, Array]) -> Any:
    arrays = list(variables.values())
    layers = [keras.Input((PIXELS,))]
    for index, biases in enumerate(arrays[1::2], start=1):
        activation = "relu" if 2 * index < len(arrays) else None
        layers.append(keras.layers.Dense(len(biases), activation))
    model = keras.Sequential(layers)
    model.set_weights(arrays)
    return model


def _loss(labels: Any, logits: Any) -> Any:
    """Give the mean cross-entropy."""
    return keras.ops.mean(keras.losses.categorical_crossentropy(labels, logits, from_logits=True))


def _array(variable: Any) -> Array:
    """Copy a variable's numbers, which a torch tensor would share."""
    value = variable.value.detach() if BACKEND == "torch" else variable.value
    # Keras's own way asks tensors for a copy, by a keyword that they do not know.
    return numpy.array(numpy.asarray(value))


def _assign(pairs: Any) -> None:
    for variable, array in pairs:
        variable.assign(array)


@contextmanager
def _on_one_cpu() -> Iterator[None]:
    """Stay on the CPU, and with torch on one thread of it.

    A GPU does not pay for a network this small, and its sums need not come out the same twice; nor do those of several
    threads on every machine.
    """
    with on_cpu(keras):
        if BACKEND != "torch":
            yield
            return
        with load("rmsprop.cli._network_torch").one_thread():
            yield


# How a backend computes gradients, and steps: functions made for a model and an optimizer.


def _for_tensorflow(model: Any, optimizer: Any) -> tuple[_Gradients, Callable[[Sequence[Any]], object]]:
    tf = load("tensorflow")
    batch = [tf.TensorSpec([None, columns], tf.float32) for columns in (PIXELS, CLASSES)]

    def gradients(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(labels, model(images, training=True))
        return loss, tape.gradient(loss, model.trainable_variables)

    def apply(gradients: Sequence[Any]) -> None:
        optimizer.apply(gradients, model.trainable_variables)

    return tf.function(gradients, input_signature=batch), tf.function(apply)


def _for_jax(model: Any, optimizer: Any) -> tuple[_Gradients, Callable[[Sequence[Any]], object]]:
    jax = load("jax")

    def loss(weights: list[Any], images: Any, labels: Any) -> Any:
        logits, _ = model.stateless_call(weights, [], images, training=True)
        return _loss(labels, logits)

    compiled = jax.jit(jax.value_and_grad(loss))

    def gradients(images: Array, labels: Array) -> Any:
        return compiled([variable.value for variable in model.trainable_variables], images, labels)

    # A step that is not traced is compiled by the optimizer.
    return gradients, lambda gradients: optimizer.apply(gradients, model.trainable_variables)


def _for_torch(model: Any, optimizer: Any) -> tuple[_Gradients, Callable[[Sequence[Any]], object]]:
    torch = load("torch")

    def gradients(images: Array, labels: Array) -> Any:
        loss = _loss(keras.ops.convert_to_tensor(labels), model(images, training=True))
        weights = [variable.value for variable in model.trainable_variables]
        return loss.detach(), list(torch.autograd.grad(loss, weights))

    def apply(gradients: Sequence[Any]) -> None:
        with torch.no_grad():
            optimizer.apply(gradients, model.trainable_variables)

    return gradients, apply


_FUNCTIONS: Final = {"tensorflow": _for_tensorflow, "jax": _for_jax, "torch": _for_torch}
