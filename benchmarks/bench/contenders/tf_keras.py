"""RMSprop in tf_keras, ours or the original, on the CPU.

Every class takes a function from options to an optimizer, and a task: so both are used in the same way.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from bench.frameworks import load
from bench.models import Array, Task
from bench.workloads import FitTask, TableTask

MakeOptimizer = Callable[..., Any]


class Eager:
    """`apply_gradients`, called eagerly."""

    def __init__(self, make_optimizer: MakeOptimizer, task: Task) -> None:
        tf = _tensorflow()
        self._variables = [tf.Variable(array) for array in task.variables]
        self._gradients = [tf.constant(array) for array in task.gradients]
        self._optimizer = make_optimizer(**task.options)
        self._optimizer.build(self._variables)

    def step(self) -> object:
        """Do the steps of one call."""
        return self._optimizer.apply_gradients(zip(self._gradients, self._variables, strict=True))

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return [variable.numpy() for variable in self._variables]


class InFunction(Eager):
    """`apply_gradients` in a `tf.function`.

    The gradients are captured by the function rather than passed, which is cheaper: in a train step they would come
    from within it.
    """

    def __init__(self, make_optimizer: MakeOptimizer, task: Task) -> None:
        super().__init__(make_optimizer, task)
        self._function = load("tensorflow").function(self._apply)

    def _apply(self) -> None:
        super().step()

    def prepare(self) -> None:
        """Trace the function, and do no step yet."""
        self._function.get_concrete_function()

    def step(self) -> object:
        """Do the steps of one call."""
        return self._function()


class Table(InFunction):
    """A table of which each step touches some rows, as with an Embedding layer: `tf.IndexedSlices`."""

    def __init__(self, make_optimizer: MakeOptimizer, task: TableTask) -> None:
        tf = _tensorflow()
        super().__init__(make_optimizer, Task([task.table], [], task.options))
        rows, shape = tf.constant(task.rows), tf.constant(task.table.shape)
        self._gradients = [tf.IndexedSlices(tf.constant(task.values), rows, shape)]


class Fit:
    """`fit` of dense layers for an epoch, from data in memory."""

    def __init__(self, make_optimizer: MakeOptimizer, task: FitTask) -> None:
        tf, tf_keras = _tensorflow(), load("tf_keras")
        *hidden, last = task.variables[1::2]
        layers = [tf_keras.layers.Dense(len(biases), "relu") for biases in hidden]
        self._model = tf_keras.Sequential([*layers, tf_keras.layers.Dense(len(last))])
        self._model.build((None, task.images.shape[1]))
        self._model.set_weights(task.variables)
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(make_optimizer(**task.options), loss)
        self._data, self._batch = [tf.constant(task.images), tf.constant(task.labels)], task.batch

    def step(self) -> object:
        """Do the steps of one call."""
        # Not shuffled: all contenders are to end with the same weights.
        return self._model.fit(*self._data, self._batch, verbose=0, shuffle=False)

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return [variable.numpy() for variable in self._model.trainable_variables]


def _tensorflow() -> Any:
    tf = load("tensorflow")
    # Refused, and without effect, where TensorFlow has run something.
    with suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf


def _ours(**options: Any) -> Any:
    return load("rmsprop.tf_keras").RMSprop(**options)


def _original(**options: Any) -> Any:
    return load("tf_keras").optimizers.RMSprop(**options)


def _makers(make_optimizer: MakeOptimizer) -> dict[str, Callable[[Any], Any]]:
    classes: dict[str, Callable[..., Any]] = {"step": InFunction, "eager": Eager, "fit": Fit, "embedding": Table}
    return {kind: partial(contender, make_optimizer) for kind, contender in classes.items()}


#: Kind of workload -> from a task to a contender.
OURS: Final = _makers(_ours)
ORIGINAL: Final = _makers(_original)


def bucket() -> int:
    """Return the bytes of new values that ours computes at a time."""
    size: int = load("rmsprop._tensorflow.native").PART_BYTES
    return size
