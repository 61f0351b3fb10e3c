"""RMSprop as a transformation of gradients, for optax and libraries that use optax's transformations."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.switches import check_native
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.rate import rate_at, refuse_uncounted
from rmsprop._jax.state import RMSpropState, check_state, start
from rmsprop._jax.stepping import step
from rmsprop._jax.trees import flags, parameters, rebuild, templates

Number = float | jax.Array


@refuses_other_words
def rmsprop(
    learning_rate: Number | Callable[..., Any] = 0.001, rho: Number = 0.9, momentum: Number = 0.0,
    epsilon: Number = 1e-7, centered: bool = False, weight_decay: Number | None = None,
    clipnorm: Number | None = None, clipvalue: Number | None = None, global_clipnorm: Number | None = None,
    use_ema: bool = False, ema_momentum: Number = 0.99, ema_overwrite_frequency: int | jax.Array | None = 100,
    jit_compile: bool = True, name: str = "RMSprop", *, initial_velocity: Number = 0.0,
    slot_dtype: str | None = None, native: bool | None = None, mask: Any = None,
    axis_name: str | Sequence[str] | None = None,
) -> optax.GradientTransformationExtraArgs:  # fmt: skip
    """RMSprop as Keras 2 defines it, as a transformation for optax.

    One step of a parameter w with the gradient g, which is clipped first if a clip is on::

        w = w - learning_rate * weight_decay * w
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                    # 0 unless centered
        m = momentum * m + learning_rate * g / sqrt(v - a**2 + epsilon)
        w = w - m

    Epsilon stands inside the root and the learning rate inside the momentum.
    ``update(grads, state, params)`` returns the new w less the old one, so `params` is needed. What
    `optax.apply_updates` makes of it is within 2 ulp of the larger of both; averages that overwrite the parameters
    (`use_ema`) are only met where nothing follows this in an `optax.chain`.

    Every number may be an array, also a traced one, as `optax.inject_hyperparams` makes it: the option is on then,
    whatever its value (a momentum of 0 keeps a state), and its value is checked only where it can be seen. With a
    function as `mask`, pass ``static_args=("mask",)`` to it.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule`, a schedule of optax, or another function of the step.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: 0 to 1; 0 keeps no momentum.
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient gives NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient; None, as in the next two, is off.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips. Norms
            are taken in float64 where JAX is set up for it, else in float32.
        use_ema: keep an exponential moving average of each parameter, starting at its initial value. By default it
            overwrites the parameter every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the parameters become their averages; None: never, it is a
            passive average.
        jit_compile: False: a step with ``native=True`` is traced, too. `jax.jit` around your step decides the rest.
        name: checked and not used: every front end has it.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the parameter's.
        native: None or False: the step is traced. True: our kernels do the step where they can, whatever the
            environment variable ``RMSPROP_NATIVE`` says. They compute new parameters, from which the old ones are then
            taken: slower than the traced step without momentum, faster with momentum and `centered`.
        mask: which parameters decay: a tree of bools, of which each stands for all below it, or a function of `params`
            to one; None: all. A tree that can be called, as a network of Equinox, is taken as a tree.
        axis_name: within `jax.shard_map`, the mesh axes over which parameters are sharded: norms are summed over them.
            ``()``: the norm of each device's part on its own.

    Returns:
        The transformation. Its state is a `RMSpropState`. Where a gradient is None, the parameter is left out with a
        warning, and the update is None.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, or two clips were given.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from rmsprop.jax import rmsprop
        >>> params, optimizer = {"w": jnp.array(10.0)}, rmsprop(learning_rate=0.1)
        >>> state = optimizer.init(params)
        >>> updates, state = optimizer.update(params, state, params)
        >>> print(optax.apply_updates(params, updates)["w"])
        9.683772

    References:
        `tf_keras.optimizers.RMSprop`
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """
    given: tuple[Any, ...] = (
        learning_rate, rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue, global_clipnorm,
        use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity, slot_dtype, axis_name,
    )  # fmt: skip
    options = ArrayOptions(*given)
    check_native(native)
    refuse_uncounted(options, "a number with optax.inject_hyperparams")

    def init(params: Any) -> RMSpropState:
        return start(options, parameters(templates(params)))

    def update(grads: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, RMSpropState]:
        if params is None and jax.tree_util.tree_leaves(grads):
            raise ValueError("params=None: pass the parameters, update(grads, state, params)")
        check_state(state, "update", grads=grads, params=params)
        leaves = parameters(grads if params is None else params)
        decays = [options.decays and flag for flag in flags(mask, params, leaves)] if leaves.values else []
        rate = rate_at(options, state.iterations)
        values, state = step(options, grads, leaves, state, decays, learning_rate=rate, native=native is True)
        _check_no_rate(state)  # which a step leaves as it is: what else is wrong with a state is more to the point
        pairs = zip(values, leaves.values, strict=True)
        return rebuild(leaves, [None if new is None else _difference(new, old) for new, old in pairs]), state

    return optax.GradientTransformationExtraArgs(init, update)


def _check_no_rate(state: RMSpropState) -> None:
    """Refuse a state with a rate, which nothing would read."""
    if state.rate is not None:
        raise ValueError(
            f"state.rate={state.rate!r}: the state holds a rate, but that of rmsprop.jax.rmsprop is its argument. "
            "optax.inject_hyperparams(rmsprop)(learning_rate=...) makes one that optax.tree.set sets by that name; "
            "state._replace(rate=None) goes on with the argument"
        )


def _difference(new: jax.Array, old: jax.Array) -> jax.Array:
    # What is infinite and stays so has not moved.
    return jnp.where(jnp.isinf(new) & (new == old), 0, new - old).astype(old.dtype)
