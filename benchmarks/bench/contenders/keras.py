"""RMSprop in Keras 3, ours or its own, on the CPU and on the backend that Keras runs on.

A step is done as the backend's trainer does it: in a `tf.function`, as a jitted `stateless_apply` that is given the
memory of variables and state, or by `apply` where torch records nothing. Every class takes a function from options to
an optimizer, and a task: so both are used in the same way.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from bench.backends import on_cpu
from bench.frameworks import load
from bench.models import Array, Task
from bench.workloads import FitTask

MakeOptimizer = Callable[..., Any]


class _Steps:
    """Variables, their gradients and an optimizer; a subclass for each backend says how it steps."""

    def __init__(self, make_optimizer: MakeOptimizer, task: Task) -> None:
        keras = _keras()
        with on_cpu(keras):
            self._variables = [keras.Variable(array) for array in task.variables]
            self._gradients = [keras.ops.convert_to_tensor(array) for array in task.gradients]
            self._optimizer = make_optimizer(**task.options)
            self._optimizer.build(self._variables)

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return [_array(variable) for variable in self._variables]


class InFunction(_Steps):
    """`apply` in a `tf.function`, which captures the gradients: in a train step they would come from within it."""

    def __init__(self, make_optimizer: MakeOptimizer, task: Task) -> None:
        super().__init__(make_optimizer, task)
        self._function = load("tensorflow").function(self._apply)

    def _apply(self) -> None:
        self._optimizer.apply(self._gradients, self._variables)

    def step(self) -> object:
        """Do the steps of one call."""
        return self._function()


class Jitted(_Steps):
    """`stateless_apply`, jitted, with variables and state in one order before and after, as JAX wants it.

    A step is over when the new variables are there.
    """

    def __init__(self, make_optimizer: MakeOptimizer, task: Task) -> None:
        super().__init__(make_optimizer, task)
        jax = load("jax")
        state = [one.value for one in self._variables], [one.value for one in self._optimizer.variables]
        # A step is given their memory, so that it must not be anybody else's.
        self._state = jax.device_put(jax.tree.map(jax.numpy.array, state), jax.devices("cpu")[0])
        self._function = jax.jit(self._move, donate_argnums=0)
        self._wait = jax.block_until_ready

    def _move(self, state: Any, gradients: Any) -> Any:
        values, kept = state
        return self._optimizer.stateless_apply(kept, gradients, values)

    def step(self) -> object:
        """Do the steps of one call."""
        self._state = self._function(self._state, self._gradients)
        return self._wait(self._state[0])

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        # Copies: the next step may be given the memory.
        return [load("numpy").array(one) for one in self._state[0]]


class OnTensors(_Steps):
    """`apply`, within `torch.no_grad`."""

    def step(self) -> object:
        """Do the steps of one call."""
        with load("torch").no_grad():
            return self._optimizer.apply(self._gradients, self._variables)


class Fit:
    """`fit` of dense layers for an epoch, from data in memory, compiled as Keras chooses."""

    def __init__(self, make_optimizer: MakeOptimizer, task: FitTask) -> None:
        keras = _keras()
        *hidden, last = task.variables[1::2]
        with on_cpu(keras):
            layers = [keras.layers.Dense(len(biases), "relu") for biases in hidden]
            inputs = keras.Input((task.images.shape[1],))
            self._model = keras.Sequential([inputs, *layers, keras.layers.Dense(len(last))])
            self._model.set_weights(task.variables)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self._model.compile(make_optimizer(**task.options), loss)
        # On JAX Keras's own leaves averages and weights in one memory, which the next `fit` would give away twice, and
        # fails. So both contenders get copies, in a part of an epoch's time that is not seen.
        self._shares = keras.backend.backend() == "jax" and task.options.get("use_ema", False)
        self._data, self._batch = [task.images, task.labels], task.batch

    def step(self) -> object:
        """Do the steps of one call."""
        with on_cpu(load("keras")):
            # Not shuffled: all contenders are to end with the same weights.
            self._model.fit(*self._data, self._batch, verbose=0, shuffle=False)
        if self._shares:
            for variable in self._model.trainable_variables:
                variable.assign(load("jax.numpy").array(variable.value))
        return None

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return [_array(variable) for variable in self._model.trainable_variables]


_STEPS: Final = {"tensorflow": InFunction, "jax": Jitted, "torch": OnTensors}


def _make_steps(make_optimizer: MakeOptimizer, task: Task) -> _Steps:
    contender: _Steps = _STEPS[_keras().backend.backend()](make_optimizer, task)
    return contender


def _keras() -> Any:
    keras = load("keras")
    if keras.backend.backend() == "tensorflow":
        # Refused, and without effect, where TensorFlow has run something.
        with suppress(RuntimeError):
            load("tensorflow").config.set_visible_devices([], "GPU")
    return keras


def _array(variable: Any) -> Array:
    value = variable.value
    copied: Array = load("numpy").array((value.detach() if hasattr(value, "detach") else value).__array__())
    return copied


def _ours(**options: Any) -> Any:
    return load("rmsprop.keras").RMSprop(**options)


def _original(**options: Any) -> Any:
    return load("keras").optimizers.RMSprop(**options)


def _makers(make_optimizer: MakeOptimizer) -> dict[str, Callable[[Any], Any]]:
    return {"step": partial(_make_steps, make_optimizer), "fit": partial(Fit, make_optimizer)}


#: Kind of workload -> from a task to a contender.
OURS: Final = _makers(_ours)
ORIGINAL: Final = _makers(_original)
