"""Train steps in tf_keras, and in Keras 3 on its backends: loops of the user's own, as Keras's guides show them.

Not `fit`, which the part of that name measures: there no model can be trained without an optimizer, to subtract it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

from bench.backends import on_cpu
from bench.frameworks import load
from bench.models import Array
from bench.training.jobs import RATE, Job
from bench.training.layers import make_model

#: From options to an optimizer.
MakeOptimizer = Callable[..., Any]


class _Trainer:
    """A model of a Keras's layers, its loss and its batch.

    Args:
        keras: the module, `tf_keras` or `keras`.
        make_optimizer: None leaves it out.
        job: what is trained.
        options: of the optimizer.
    """

    def __init__(self, keras: Any, make_optimizer: MakeOptimizer | None, job: Job, options: dict[str, Any]) -> None:
        keras.utils.set_random_seed(0)
        self._model = make_model(keras, job.model)
        self._loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._variables = self._model.trainable_variables
        self._optimizer = make_optimizer(**options) if make_optimizer else None
        if self._optimizer is not None:
            self._optimizer.build(self._variables)

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""
        return [load("numpy").array(variable.numpy()) for variable in self._variables]


@final
class OnTensorFlow(_Trainer):
    """A `tf.function` with a gradient tape.

    Args:
        compiled: whether XLA compiles it.
    """

    def __init__(
        self, keras: Any, make_optimizer: MakeOptimizer | None, compiled: bool, job: Job, options: dict[str, Any]
    ) -> None:
        self._tf = tf = load("tensorflow")
        # Refused, and without effect, where TensorFlow has run something.
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
        super().__init__(keras, make_optimizer, job, options)
        self._inputs, self._labels = tf.constant(job.inputs), tf.constant(job.labels)
        self._function = tf.function(self._train, jit_compile=compiled or None)

    def _train(self, inputs: Any, labels: Any) -> Any:
        tf = self._tf
        with tf.GradientTape() as tape:
            loss = self._loss(labels, self._model(inputs, training=True))
        gradients = tape.gradient(loss, self._variables)
        if self._optimizer is not None:
            self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
            return loss
        # Among the results: what nobody uses, even where something waits for it, TensorFlow does not compute.
        return loss, gradients

    def step(self) -> object:
        """Do one step."""
        return self._function(self._inputs, self._labels)


@final
class OnTorch(_Trainer):
    """`backward`, then the optimizer within `torch.no_grad`."""

    def __init__(self, make_optimizer: MakeOptimizer | None, job: Job, options: dict[str, Any]) -> None:
        torch, keras = load("torch"), load("keras")
        with on_cpu(keras):
            super().__init__(keras, make_optimizer, job, options)
        self._inputs, self._labels = torch.from_numpy(job.inputs), torch.from_numpy(job.labels)
        self._no_grad = torch.no_grad

    def step(self) -> object:
        """Do one step."""
        for variable in self._variables:
            variable.value.grad = None
        self._loss(self._labels, self._model(self._inputs, training=True)).backward()
        if self._optimizer is not None:
            gradients = [variable.value.grad for variable in self._variables]
            with self._no_grad():
                self._optimizer.apply(gradients, self._variables)
        return None


@final
class OnJax(_Trainer):
    """`stateless_call`, `jax.value_and_grad` and `stateless_apply` in one jitted function.

    The function is given the memory of what it returns anew; without an optimizer that is the memory of the gradients.
    A step is over when the new variables, or gradients, are there.
    """

    def __init__(self, make_optimizer: MakeOptimizer | None, job: Job, options: dict[str, Any]) -> None:
        super().__init__(load("keras"), make_optimizer, job, options)
        self._jax = jax = load("jax")
        values, others = self._values(self._variables), self._values(self._model.non_trainable_variables)
        kept = self._values(self._optimizer.variables) if self._optimizer is not None else []
        # A step is given their memory, so that it must not be anybody else's.
        self._state = jax.device_put(jax.tree.map(jax.numpy.array, (values, others, kept)), jax.devices("cpu")[0])
        self._batch = jax.device_put((job.inputs, job.labels), jax.devices("cpu")[0])
        self._gradients = jax.tree.map(jax.numpy.array, self._state[0])
        # Without an optimizer the gradients before are given away, and the variables stay.
        move = self._compute if self._optimizer is None else self._move
        self._function = jax.jit(move, donate_argnums=0, keep_unused=True)

    @staticmethod
    def _values(variables: Any) -> list[Any]:
        return [one.value for one in variables]

    def _of_batch(self, values: Any, others: Any, inputs: Any, labels: Any) -> Any:
        scores, others = self._model.stateless_call(values, others, inputs, training=True)
        return self._loss(labels, scores), others

    def _compute(self, before: Any, state: Any, batch: Any) -> Any:
        values, others, _ = state
        (_, others), gradients = self._jax.value_and_grad(self._of_batch, has_aux=True)(values, others, *batch)
        return gradients, others

    def _move(self, state: Any, batch: Any) -> Any:
        assert self._optimizer is not None
        values, others, kept = state
        (loss, others), gradients = self._jax.value_and_grad(self._of_batch, has_aux=True)(values, others, *batch)
        values, kept = self._optimizer.stateless_apply(kept, gradients, values)
        return (values, others, kept), loss

    def step(self) -> object:
        """Do one step."""
        if self._optimizer is None:
            self._gradients, _ = self._function(self._gradients, self._state, self._batch)
            return self._jax.block_until_ready(self._gradients)
        self._state, _ = self._function(self._state, self._batch)
        return self._jax.block_until_ready(self._state[0])

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""
        return [load("numpy").array(one) for one in self._state[0]]


def maker(module: str, name: str) -> MakeOptimizer:
    """Return a function that makes the optimizer `name` of the module `module`."""

    def make(**options: Any) -> Any:
        return getattr(load(module), name)(learning_rate=RATE, **options)

    return make
