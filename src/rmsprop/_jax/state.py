"""The state of a training: a tree of arrays, made for parameters and taken apart again at every step."""

from typing import Any, Final, NamedTuple, final

import jax
import jax.numpy as jnp

from rmsprop._core import slots as _slots
from rmsprop._core.slots import slot_dtype
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.trees import Leaves, is_container, rebuild


@final
class RMSpropState(NamedTuple):
    """What RMSprop keeps between steps: a tree of arrays, which JAX and libraries that save trees understand.

    No attribute has the name of an argument: `optax.tree.get` and `optax.tree.set` find the hyperparameters of
    `optax.inject_hyperparams` by name, and would find the attribute, too.

    Attributes:
        iterations: steps done, an int32 array without axes.
        velocities: the averages of squared gradients, a tree like the parameters.
        momentums: a tree like the parameters; None without momentum.
        average_gradients: the averages of gradients, a tree like the parameters; None unless centered.
        averages: the averages of the parameters, a tree like them; None without `use_ema`.
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


#: Method -> the right call, with the order of earlier versions where that was another.
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


def start(options: ArrayOptions, leaves: Leaves, rate: Any = None) -> RMSpropState:
    """Return the state before the first step; raises as `check_slot_dtype`."""
    check_slot_dtype(options)
    made = {
        FIELDS[slot.name]: rebuild(leaves, [_slot(options, slot, variable) for variable in leaves.values])
        for slot in _slots.slots(options)
    }
    return RMSpropState(jnp.zeros((), jnp.int32), **made, rate=rate)


def _slot(options: ArrayOptions, slot: _slots.Slot, variable: jax.Array) -> jax.Array:
    dtype = slot_dtype(options, variable.dtype)
    if slot.start is None:
        # A copy in any case: a donated step may not get the same memory twice.
        return jnp.array(variable, dtype, copy=True)
    filled = jax.lax.full_like(variable, slot.start, dtype)
    if isinstance(variable, jax.core.Tracer) and variable.ndim:
        # An array filled under `jit` depends on no parameter, so XLA would put all of it on every device. A choice by
        # the parameter lies as the parameter does; the barrier keeps XLA from seeing that both sides are the same.
        filled = jax.lax.select(variable == variable, filled, jax.lax.optimization_barrier(filled))
    return filled


def check_state(state: Any, method: str = "", **others: Any) -> None:
    """Refuse what is not the state of one model, and other arguments of a method in another order.

    Raises:
        TypeError: `state` is something else, another argument is a state, or the counter is no whole number.
        ValueError: the state is of several models, or `params` is None and the state is of parameters.
    """
    found = [f"{name} is an RMSpropState" for name, one in others.items() if isinstance(one, RMSpropState)]
    if found and not isinstance(state, RMSpropState):
        found.append(f"state is a {type(state).__name__}")
    if found:
        raise TypeError(f"{method}: {', '.join(found)}. Write {_CALLS[method]}")
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


def slots_of(options: ArrayOptions, state: RMSpropState, leaves: Leaves) -> list[dict[str, jax.Array]]:
    """Return the slots of each parameter by name.

    Raises:
        ValueError: the state was made with other options or for other parameters.
    """
    needed = [slot.name for slot in _slots.slots(options)]
    found: list[dict[str, jax.Array]] = [{} for _ in leaves.values]
    for slot, field in FIELDS.items() if leaves.values else ():
        tree = getattr(state, field)
        if (slot in needed) != (tree is not None):
            said = "holds none, but the options need one" if slot in needed else "holds one, but the options need none"
            raise ValueError(f"state.{field}: the state {said}; it was made with other options")
        for place, value in enumerate(leaves.match(tree, f"state.{field}") if slot in needed else ()):
            found[place][slot] = _checked(field, leaves, place, value)
    return found


def _checked(field: str, leaves: Leaves, place: int, value: Any) -> jax.Array:
    name, variable = leaves.names[place], leaves.values[place]
    if is_container(value):
        raise ValueError(f"state.{field} is not the tree that params is: it has more at {name!r}")
    if jnp.shape(value) != variable.shape:
        raise ValueError(f"state.{field} of {name!r} has the shape {jnp.shape(value)}, not {variable.shape}")
    return jnp.asarray(value)
