"""RMSprop in JAX: ours, and optax's with what optax has beside it, on the CPU.

Either is one jitted function from parameters, state and gradients to new parameters and state, which is given the
memory of the old ones. A step is over when the new parameters are there.

What goes in and comes out has the same order: JAX gives the memory of the first donated array to the first result of
its shape and type, of the second to the second. In another order new parameters would get the memory of old state,
which XLA can only do by copying all of it.
"""

from typing import Any, Final, final

from bench.frameworks import load
from bench.models import Array, Task

_RATE: Final = 0.001
_EMA_MOMENTUM: Final = 0.99


class _Jitted:
    """Parameters, gradients and state, and the function that steps them.

    Subclasses set `_state`, and have `_move`.
    """

    _state: Any

    def __init__(self, task: Task) -> None:
        jax = load("jax")
        self._device = jax.devices(task.device)[0]
        self._params, self._gradients = self._put(task.variables), self._put(task.gradients)
        self._function = jax.jit(self._move, donate_argnums=(0, 1))
        self._wait = jax.block_until_ready

    def _put(self, tree: Any) -> Any:
        """Copy arrays to the device: a step is given their memory, so that it must not be anybody else's.

        All of them, because one that is bound to no device, and comes back bound to one, has a step compiled twice.
        """
        jax = load("jax")
        return jax.device_put(jax.tree.map(jax.numpy.array, tree), self._device)

    def _move(self, params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        """Return new parameters and state."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Trace and compile the function, and do no step yet."""
        self._function = self._function.lower(self._params, self._state, self._gradients).compile()

    def step(self) -> object:
        """Do the steps of one call."""
        self._params, self._state = self._function(self._params, self._state, self._gradients)
        return self._wait(self._params)

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        # Copies: the next step may be given the memory.
        return [load("numpy").array(one) for one in self._params]


class Ours(_Jitted):
    """`rmsprop.jax.RMSprop.apply_gradients`."""

    def __init__(self, task: Task) -> None:
        self._optimizer = load("rmsprop.jax").RMSprop(_RATE, **task.options)
        super().__init__(task)
        self._state = self._put(self._optimizer.init(self._params))

    def _move(self, params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        moved: tuple[Any, Any] = self._optimizer.apply_gradients(gradients, params, state)
        return moved


def make_chain(options: dict[str, Any], rate: float) -> Any:
    """Make `optax.rmsprop` with epsilon in the root, in a chain with optax's clip and weight decay."""
    optax, links = load("optax"), []
    if (limit := options.get("global_clipnorm")) is not None:
        links.append(optax.clip_by_global_norm(limit))
    momentum, centered = options.get("momentum"), options.get("centered", False)
    links.append(optax.rmsprop(rate, 0.9, 1e-7, eps_in_sqrt=True, centered=centered, momentum=momentum))
    if (decay := options.get("weight_decay")) is not None:
        # Behind the learning rate and the momentum, which are to know nothing of it.
        links.append(optax.add_decayed_weights(-rate * decay))
    return optax.chain(*links)


@final
class Optax(_Jitted):
    """`optax.rmsprop` with epsilon in the root, in a chain with optax's clip and weight decay; and averages.

    The averages are those of `optax.incremental_update`.
    """

    def __init__(self, task: Task) -> None:
        self._optax, self._every = load("optax"), task.options.get("ema_overwrite_frequency")
        self._chain = make_chain(task.options, _RATE)
        super().__init__(task)
        jnp = load("jax.numpy")
        averages = self._params if task.options.get("use_ema") else None
        self._state = self._put((self._chain.init(self._params), averages, jnp.zeros((), jnp.int32)))

    def _move(self, params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        inner, averages, count = state
        updates, inner = self._chain.update(gradients, inner, params)
        params, count = self._optax.apply_updates(params, updates), count + 1
        if averages is not None:
            averages = self._optax.incremental_update(params, averages, 1 - _EMA_MOMENTUM)
            params = self._overwrite(params, averages, count)
        return params, (inner, averages, count)

    def _overwrite(self, params: Any, averages: Any, count: Any) -> Any:
        return self._optax.periodic_update(averages, params, count, self._every)
