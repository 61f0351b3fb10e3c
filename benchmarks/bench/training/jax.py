"""Train steps in JAX: one jitted function, which is given the memory of parameters and state, on the CPU.

A step is over when the new parameters are there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

from bench.contenders.jax import make_chain
from bench.frameworks import load
from bench.models import Array
from bench.training.jax_models import make_model
from bench.training.jobs import RATE, Job

#: From options to a function that makes a state of parameters, and one from gradients, parameters, state to new ones.
MakeOptimizer = Callable[[dict[str, Any]], tuple[Callable[[Any], Any], Callable[[Any, Any, Any], tuple[Any, Any]]]]


class _Jitted:
    """A model's parameters, its loss of them and of the batch, and `_state`, whose memory `_function` is given."""

    _state: Any
    _function: Callable[..., Any]

    def __init__(self, job: Job) -> None:
        self._jax = jax = load("jax")
        self._device = jax.devices("cpu")[0]
        params, self._loss = make_model(job.model)
        self._params = self._put(params)
        self._batch = jax.device_put((job.inputs, job.labels.astype("int32")), self._device)

    def _put(self, tree: Any) -> Any:
        """Copy arrays to the device: a step is given their memory, so that it must not be anybody else's."""
        return self._jax.device_put(self._jax.tree.map(self._jax.numpy.array, tree), self._device)

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""
        return [load("numpy").array(one) for one in self._jax.tree.leaves(self._params)]


@final
class ModelAlone(_Jitted):
    """`jax.value_and_grad`, which is given the memory of the gradients before."""

    def __init__(self, job: Job, options: dict[str, Any]) -> None:
        super().__init__(job)
        jax = self._jax
        self._state = self._put(self._params)
        self._function = jax.jit(self._move, donate_argnums=0, keep_unused=True)

    def _move(self, before: Any, params: Any, batch: Any) -> Any:
        return self._jax.value_and_grad(self._loss)(params, *batch)

    def step(self) -> object:
        """Do one step."""
        _, self._state = self._function(self._state, self._params, self._batch)
        return self._jax.block_until_ready(self._state)


@final
class Trainer(_Jitted):
    """`jax.value_and_grad` and an optimizer, in one function."""

    def __init__(self, make_optimizer: MakeOptimizer, job: Job, options: dict[str, Any]) -> None:
        super().__init__(job)
        init, self._update = make_optimizer(options)
        self._state = self._put(init(self._params))
        self._function = self._jax.jit(self._move, donate_argnums=(0, 1))

    def _move(self, params: Any, state: Any, batch: Any) -> Any:
        loss, gradients = self._jax.value_and_grad(self._loss)(params, *batch)
        # In the order in which they were given: see bench.contenders.jax.
        return *self._update(gradients, params, state), loss

    def step(self) -> object:
        """Do one step."""
        self._params, self._state, _ = self._function(self._params, self._state, self._batch)
        return self._jax.block_until_ready(self._params)


def make_ours(options: dict[str, Any]) -> Any:
    """Make a `rmsprop.jax.RMSprop`."""
    optimizer = load("rmsprop.jax").RMSprop(RATE, **options)
    return optimizer.init, optimizer.apply_gradients


def make_optax(options: dict[str, Any]) -> Any:
    """Make `optax.rmsprop` and what belongs to its options."""
    return _of_optax(make_chain(options, RATE))


def make_sgd(options: dict[str, Any]) -> Any:
    """Make `optax.sgd`."""
    return _of_optax(load("optax").sgd(RATE))


def _of_optax(transformation: Any) -> Any:
    return transformation.init, partial(_apply, transformation)


def _apply(transformation: Any, gradients: Any, params: Any, state: Any) -> tuple[Any, Any]:
    updates, state = transformation.update(gradients, state, params)
    return load("optax").apply_updates(params, updates), state


MAKERS: Final[dict[str, Callable[[Job, dict[str, Any]], Any]]] = {
    "model": ModelAlone,
    "sgd": partial(Trainer, make_sgd),
    "optax": partial(Trainer, make_optax),
    "rmsprop": partial(Trainer, make_ours),
}
