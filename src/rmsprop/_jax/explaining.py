"""How a step on JAX arrays will go, by the predicate and the planner of steps, without a kernel."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy

from rmsprop._core import slots as _slots
from rmsprop._core.explain import Choice, Explanation, describe, summarize
from rmsprop._core.items import Item
from rmsprop._core.slots import slot_dtype
from rmsprop._core.switches import default_threads
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.engine import against


def explain(
    front_end: str, options: ArrayOptions, names: Sequence[str], variables: Sequence[Any], decays: Sequence[bool], *,
    off: str, devices: Sequence[jax.Device] | None = None,
) -> Explanation:  # fmt: skip
    """Explain a step in which each variable has a dense gradient of its own type.

    Variables are arrays, traced or not, or what describes one. `off` is why the user wants no native steps, "" if there
    is no reason. A step is compiled for `devices`; None: for all that the process has.
    """
    items, rows = [], []
    for name, variable, decays_too in zip(names, variables, decays, strict=True):
        state = jax.ShapeDtypeStruct(variable.shape, slot_dtype(options, variable.dtype))
        slots = {slot.name: state for slot in _slots.slots(options)}
        items.append(Item(variable, variable, slots, decays_too, name=name))
    # A step is traced by the process's devices, and compiled by its own.
    reason = off or against(options, items, jax.devices())
    if not reason and devices is not None:
        reason = against(options, items, devices)
    launches, choice = 0, Choice("traced", "xla" if options.jit_compile else "", reason)
    if not reason:
        # Numba is there.
        from rmsprop._jax.native import count_launches

        launches, choice = count_launches(options, items), Choice("native", "numba")
    for item in items:
        types = {name: one.dtype.name for name, one in item.slots.items()}
        shape, dtype = item.variable.shape, numpy.dtype(item.variable.dtype).name
        rows.append((item.name, describe(shape, dtype, types, choice, clips_by_norm=options.clips_by_norm)))
    return summarize(front_end, rows, launches, default_threads())


def described(shape: Sequence[int], dtype: Any) -> Any:
    """Describe an array, of a type that JAX has as it is set up."""
    return jax.ShapeDtypeStruct(tuple(shape), jax.dtypes.canonicalize_dtype(dtype))
