"""A step on JAX arrays: by our kernels, or traced."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import get_abstract_mesh

from rmsprop._core.checks import FLOATS
from rmsprop._core.fallback import warn_once
from rmsprop._core.items import Item
from rmsprop._core.slots import slot_dtype
from rmsprop._jax import traced
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.available import against_devices, problem


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any, *, native: bool
) -> traced.Stepped:
    """Step variables, or add the step to what is being traced.

    The learning rate is a number or an array without axes of any float type, `iterations` an integer array without
    axes, the steps done before. `native` is whether our kernels may do the step.

    Warns:
        UserWarning: our kernels should do the step, and cannot; see `rmsprop._core.fallback`.
    """
    if native and not against(options, items, jax.devices(), warns=True):
        # Numba is loaded when there is a step for it.
        from rmsprop._jax import native as _native

        return _native.step(options, items, learning_rate, iterations)
    return traced.step(options, items, learning_rate, iterations)


def against(options: ArrayOptions, items: Sequence[Item], devices: Sequence[jax.Device], *, warns: bool = False) -> str:
    """Return why our kernels do not step variables; "" if they do.

    `devices` are all of the process, or those for which a step is compiled. Under `jax.jit` nothing shows how arrays
    are sharded; where there is one device only, they are not. `warns` is for a reason that holds for the process.
    """
    if not items:
        return "no parameters"
    if not options.jit_compile:
        return "jit_compile=False"
    if reason := against_devices(devices[0].platform, len(devices)):
        return reason
    if getattr(get_abstract_mesh(), "manual_axes", ()):
        return "within a shard_map"
    if options.clips_by_norm and options.axis_name is not None:
        return f"axis_name={options.axis_name!r}: a norm is summed over devices"
    for item in items:
        if reason := _against_item(options, item):
            return reason
    return warn_once(problem()) if warns else problem()


def _against_item(options: ArrayOptions, item: Item) -> str:
    """Return why a kernel would read past the end of arrays: types and shapes are not those that it expects."""
    variable, slot, name = item.variable, slot_dtype(options, item.variable.dtype), item.name or "a parameter"
    for what, one in (("", variable), ("the gradient of ", item.gradient)):
        if jnp.dtype(one.dtype).name not in FLOATS:
            return f"{what}{name} has the type {one.dtype}"
        if one.shape != variable.shape:
            return f"{what}{name} has another shape"
    for what, one in item.slots.items():
        if one.dtype != slot or one.shape != variable.shape:
            return f"the {what} of {name} has another type or shape than the options say"
    return ""
