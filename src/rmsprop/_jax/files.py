"""Checkpoint files of `rmsprop.jax.RMSprop`, which every front end reads."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy
from numpy.typing import NDArray

from rmsprop._core import slots as _slots
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Needed
from rmsprop._core.saving.matching import Group, plain_names
from rmsprop._core.slots import slot_dtype
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.state import FIELDS, RMSpropState, slots_of
from rmsprop._jax.trees import Leaves, parameters, rebuild, templates

#: The counter of a state is an int32.
_MOST: int = 2**31 - 1


def save(
    options: ArrayOptions,
    path: str | PathLike[str],
    params: Any,
    state: RMSpropState,
    variables: bool,
    metadata: Mapping[str, str] | None,
) -> None:
    """Write a file of a state whose learning rate is the next step's."""
    _check_whole("save", params, state)
    leaves = parameters(params)
    slots = slots_of(options, state, leaves)
    tensors: dict[str, NDArray[Any]] = {}
    for name, variable, kept in zip(plain_names(leaves.names), leaves.values, slots, strict=True):
        arrays = kept | ({"variable": variable} if variables else {})
        tensors |= {_slots.key(slot, name): numpy.asarray(array) for slot, array in arrays.items()}
    rate = options.learning_rate if callable(options.learning_rate) or state.rate is None else float(state.rate)
    group = _group(replace(options, learning_rate=rate), leaves)
    checkpoint.write(path, "jax", [group], tensors, int(state.iterations), metadata)


def load(
    options: ArrayOptions,
    path: str | PathLike[str],
    params: Any,
    variables: bool,
    names: Mapping[str, str] | None,
    init: Callable[[Any], RMSpropState],
) -> tuple[Any, RMSpropState]:
    """Read a file into a state like that of `init`, which is called when the file is known to fit."""
    params = templates(params)
    _check_whole("load", params)
    leaves = parameters(params)
    own = plain_names(leaves.names)
    needed = _needed(options, leaves, own, variables)
    found = checkpoint.read(path, [_group(options, leaves)], needed, names, most=_MOST)
    state = init(params)
    fields = {}
    for slot in _slots.slots(options):
        like = leaves.match(getattr(state, FIELDS[slot.name]), FIELDS[slot.name])
        values = [found.tensors[_slots.key(slot.name, name)] for name in own]
        fields[FIELDS[slot.name]] = rebuild(leaves, list(map(_put, values, like)))
    state = state._replace(iterations=jnp.asarray(found.iterations, state.iterations.dtype), **fields)
    (rate,) = found.rates
    if rate is not None and state.rate is not None and not callable(options.learning_rate):
        state = state._replace(rate=jnp.array(rate, state.rate.dtype))
    if variables:
        arrays = [found.tensors[_slots.key("variable", name)] for name in own]
        params = rebuild(leaves, list(map(_put, arrays, leaves.values)))
    return params, state


def _check_whole(method: str, *trees: Any) -> None:
    """Refuse arrays without numbers here.

    Raises:
        TypeError: one is being traced.
        ValueError: a part of one is on a device of another process.
    """
    for leaf in jax.tree_util.tree_leaves(trees):
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"{method} reads or writes a file: it cannot be traced, call it outside of jax.jit")
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise ValueError(
                f"{method} cannot see all of an array of shape {leaf.shape}, whose parts are on devices of other "
                "processes: save RMSpropState, which is a tree of arrays, with orbax.checkpoint, or gather it by "
                "jax.experimental.multihost_utils.process_allgather(state, tiled=True)"
            )


def _group(options: ArrayOptions, leaves: Leaves) -> Group:
    return Group(plain_names(leaves.names), options)


def _needed(options: ArrayOptions, leaves: Leaves, names: list[str], variables: bool) -> dict[str, Needed]:
    needed = {}
    for name, variable in zip(names, leaves.values, strict=True):
        for slot in _slots.slots(options):
            dtype = slot_dtype(options, variable.dtype)
            needed[_slots.key(slot.name, name)] = Needed(dtype, variable.shape)
        if variables:
            needed[_slots.key("variable", name)] = Needed(numpy.dtype(variable.dtype), variable.shape)
    return needed


def _put(value: NDArray[Any], like: jax.Array) -> jax.Array:
    """Make an array where another one is; bound to devices only if that is, so that a second step compiles nothing."""
    array = jnp.array(value)
    placed: jax.Array = jax.device_put(array, like.sharding) if like.committed else array
    return placed
