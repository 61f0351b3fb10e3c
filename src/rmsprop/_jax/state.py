"""The state of a training: a tree of arrays, made for parameters and taken apart again at every step."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop._core import slots as _slots
from rmsprop._core.slots import slot_dtype
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.trees import Leaves, is_container, rebuild


class RMSpropState(NamedTuple):
    """What RMSprop keeps between steps: a tree of arrays for JAX, and for whatever saves and restores such trees.

    No attribute has the name of an argument: `optax.tree.get` and `optax.tree.set` find the hyperparameters of
    `optax.inject_hyperparams` by name, and would find the attribute, too.

    Attributes:
        iterations: steps done, an int32 array without axes.
        velocities: the averages of squared gradients, a tree like the parameters.
        momentums: likewise; None without momentum.
        average_gradients: the averages of gradients, likewise; None unless centered.
        averages: the averages of the parameters, likewise; None without `use_ema`.
        rate: the learning rate of the next step, an array without axes. None where a schedule rules, and in the
            state of the transformation `rmsprop.jax.rmsprop`, whose rate is an argument.
    """

    # Pickles hold the values by position: a new one goes last and has None for a default.
    iterations: Any
    velocities: Any
    momentums: Any = None
    average_gradients: Any = None
    averages: Any = None
    rate: Any = None


#: Slot -> attribute.
FIELDS: Final = {
    "velocity": "velocities", "momentum": "momentums", "average_gradient": "average_gradients", "average": "averages",
}  # fmt: skip


#: Method -> the call to write, and the order that it had before, if that was another.
_CALLS: Final = {
    "apply_gradients": "params, state = optimizer.apply_gradients(grads, params, state), in the order of minimize; "
    "early versions had the order (grads, state, params)",
    "minimize": "params, state, value = optimizer.minimize(loss, params, state)",
    "finalize_variable_values": "params = optimizer.finalize_variable_values(params, state); "
    "early versions had the order (state, params)",
    "save": "optimizer.save(path, params, state)",
    "update": "updates, state = optimizer.update(grads, state, params), in optax's order",
}


def check_slot_dtype(options: ArrayOptions) -> None:
    """Raise a ValueError if `slot_dtype` is float64, which JAX does not have as it is set up."""
    if options.slot_dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise ValueError("slot_dtype='float64' needs JAX's 64-bit mode: jax.config.update('jax_enable_x64', True)")


def start(options: ArrayOptions, leaves: Leaves, learning_rate: Any = None) -> RMSpropState:
    """Make the state for parameters; raises as `check_slot_dtype` does."""
    check_slot_dtype(options)
    made = {
        FIELDS[slot.name]: rebuild(leaves, [_slot(options, slot, variable) for variable in leaves.values])
        for slot in _slots.slots(options)
    }
    return RMSpropState(jnp.zeros((), jnp.int32), **made, rate=learning_rate)


def _slot(options: ArrayOptions, slot: _slots.Slot, variable: jax.Array) -> jax.Array:
    dtype = slot_dtype(options, variable.dtype)
    if slot.start is None:
        # A copy in any case: a donated step may not get the same memory twice.
        return jnp.array(variable, dtype, copy=True)
    filled = jax.lax.full_like(variable, slot.start, dtype)
    if isinstance(variable, jax.core.Tracer) and variable.ndim:
        # What is filled under `jit` depends on no parameter, so XLA would put all of it on every device. A choice by
        # the parameter lies as the parameter does; the barrier keeps XLA from seeing that both sides are the same.
        filled = jax.lax.select(variable == variable, filled, jax.lax.optimization_barrier(filled))
    return filled


def check_state(state: Any, method: str = "", **others: Any) -> None:
    """Refuse what `init` has not made, or made for several models at once, and arguments in another order.

    Args:
        state: what stands where a state belongs.
        method: what was called, if it has other arguments.
        others: these, by their names.

    Raises:
        TypeError: it is something else, another argument is a state, or the counter holds no whole number.
        ValueError: it is of several models, or `params` is None and the state is of parameters.
    """
    _check_order(state, method, others)
    if not isinstance(state, RMSpropState):
        raise TypeError(f"state is a {type(state).__name__}, no RMSpropState: pass what init(params) returned")
    if others.get("params", others) is None and jax.tree_util.tree_leaves(state.velocities):
        raise ValueError(f"params=None: pass the parameters, {_CALLS[method]}")
    if not jnp.issubdtype(jnp.result_type(state.iterations), jnp.integer):
        raise TypeError(f"state.iterations={state.iterations!r} is no whole number: init(params) makes an int32 array")
    if jnp.shape(state.iterations) != ():
        raise ValueError(
            f"state.iterations has the shape {jnp.shape(state.iterations)}: the state of several models, as vmap makes "
            "it, is stepped under vmap"
        )


def _check_order(state: Any, method: str, others: Mapping[str, Any]) -> None:
    found = [f"{name} is an RMSpropState" for name, one in others.items() if isinstance(one, RMSpropState)]
    if found and not isinstance(state, RMSpropState):
        found.append(f"state is a {type(state).__name__}")
    if found:
        raise TypeError(f"{method}: {', '.join(found)}. Write {_CALLS[method]}")


def slots_of(options: ArrayOptions, state: RMSpropState, leaves: Leaves) -> list[dict[str, jax.Array]]:
    """List the state of each parameter.

    Raises:
        ValueError: it was made with other options or for other parameters.
    """
    needed = [slot.name for slot in _slots.slots(options)]
    found: list[dict[str, jax.Array]] = [{} for _ in leaves.values]
    for slot, field in FIELDS.items() if leaves.values else ():
        tree = getattr(state, field)
        if (slot in needed) != (tree is not None):
            held, wanted = ("holds none", "need one") if slot in needed else ("holds one", "need none")
            raise ValueError(
                f"state.{field}: the state {held}, but the options {wanted}; it was made with other options"
            )
        for place, value in enumerate(leaves.match(tree, f"state.{field}") if slot in needed else ()):
            found[place][slot] = _checked(field, leaves, place, value)
    return found


def _checked(field: str, leaves: Leaves, place: int, value: Any) -> jax.Array:
    variable = leaves.values[place]
    if is_container(value):
        raise ValueError(f"state.{field} is not the tree that params is: it has more at {leaves.names[place]!r}")
    shape = jnp.shape(value)
    if shape != variable.shape:
        raise ValueError(f"state.{field} of {leaves.names[place]!r} has the shape {shape}, not {variable.shape}")
    return jnp.asarray(value)


def advanced(state: RMSpropState, leaves: Leaves, slots: list[dict[str, jax.Array]]) -> RMSpropState:
    """Give the state after a step.

    Args:
        state: the one before.
        leaves: the parameters.
        slots: the new arrays of each.
    """
    new = {FIELDS[name]: rebuild(leaves, [one[name] for one in slots]) for name in slots[0]}
    return state._replace(iterations=optax.safe_increment(jnp.asarray(state.iterations)), **new)
