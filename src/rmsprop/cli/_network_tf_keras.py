"""The network as a model of tf_keras."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rmsprop import _checkpoint, _slots
from rmsprop._options import Options
from rmsprop.cli._digits import CLASSES, PIXELS, Array
from rmsprop.cli.bench.frameworks import load

# Not imported by a statement: TensorFlow is not to chatter.
tf, tf_keras = load("tensorflow"), load("tf_keras")
RMSprop = load("rmsprop.tf_keras").RMSprop
HOMES = load("rmsprop._tf_keras.state").HOMES

#: A GPU does not pay for a network this small, and its sums need not come out the same twice.
_DEVICE: Final = "/CPU:0"


class TfKerasNetwork:
    """A `tf_keras.Sequential` of dense layers, with `rmsprop.tf_keras.RMSprop`.

    Gradients, steps and evaluations are a `tf.function` each.

    Args:
        variables: see `rmsprop.cli._network.start_values`.
        learning_rate: of the optimizer.
        make_optimizer: its class, ours or the original.
    """

    def __init__(
        self, variables: dict[str, Array], learning_rate: float, make_optimizer: Callable[..., Any] = RMSprop
    ) -> None:
        with tf.device(_DEVICE):
            self._names, self._model = list(variables), _make_model(variables)
            self._optimizer = make_optimizer(learning_rate, use_ema=True, ema_overwrite_frequency=None)
            self._optimizer.build(self._model.trainable_variables)
        self._loss = tf_keras.losses.CategoricalCrossentropy(from_logits=True)
        batch = [tf.TensorSpec([None, columns], tf.float32) for columns in (PIXELS, CLASSES)]
        self._gradients = tf.function(self._compute_gradients, input_signature=batch)
        self._evaluate = tf.function(self._compute_evaluation, input_signature=batch)
        self._step = tf.function(self._apply)

    @property
    def parameters(self) -> int:
        """See `Network`."""
        return int(self._model.count_params())

    @property
    def iterations(self) -> int:
        """See `Network`."""
        return int(self._optimizer.iterations.numpy())

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[Any]]:
        """See `Network`."""
        loss, gradients = self._gradients(images, labels)
        return float(loss), gradients

    def _compute_gradients(self, images: Any, labels: Any) -> Any:
        with tf.device(_DEVICE), tf.GradientTape() as tape:
            loss = self._loss(labels, self._model(images, training=True))
        return loss, tape.gradient(loss, self._model.trainable_variables)

    def step(self, gradients: list[Any]) -> None:
        """See `Network`."""
        self._step(gradients)

    def _apply(self, gradients: list[Any]) -> None:
        with tf.device(_DEVICE):
            self._optimizer.apply_gradients(zip(gradients, self._model.trainable_variables, strict=True))

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        loss, accuracy = self._evaluate(images, labels)
        return float(loss), float(accuracy)

    def _compute_evaluation(self, images: Any, labels: Any) -> Any:
        with tf.device(_DEVICE):
            logits = self._model(images, training=False)
            accuracies = tf_keras.metrics.categorical_accuracy(labels, logits)
            return self._loss(labels, logits), tf.reduce_mean(tf.cast(accuracies, tf.float64))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """See `Network`."""
        variables = self._model.trainable_variables
        trained = [variable.read_value() for variable in variables]
        self._optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, trained, strict=True):
                variable.assign(value)

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """See `Network`; the file is as the NumPy optimizer writes it."""
        tensors = {name: tensor.numpy() for name, tensor in self._tensors().items()}
        options = Options.from_config(self._optimizer.get_config())
        _checkpoint.write(path, tensors, self.iterations, options, metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        mine = self._tensors()
        found = _checkpoint.read(path, {name: tensor.numpy() for name, tensor in mine.items()})
        for name, tensor in mine.items():
            tensor.assign(found.tensors[name])
        self._optimizer.iterations.assign(found.iterations)

    def _tensors(self) -> dict[str, Any]:
        """Give what a checkpoint holds, by the names that it has there."""
        slots = {"variable": self._model.trainable_variables}
        slots |= {slot: getattr(self._optimizer, home, []) for slot, home in HOMES.items()}
        return {
            _slots.key(slot, name): tensor
            for slot, tensors in slots.items()
            if tensors
            for name, tensor in zip(self._names, tensors, strict=True)
        }


def _make_model(variables: dict[str, Array]) -> Any:
    arrays = list(variables.values())
    layers = [tf_keras.Input((PIXELS,))]
    for index, biases in enumerate(arrays[1::2], start=1):
        activation = "relu" if 2 * index < len(arrays) else None
        layers.append(tf_keras.layers.Dense(len(biases), activation))
    model = tf_keras.Sequential(layers)
    model.set_weights(arrays)
    return model
