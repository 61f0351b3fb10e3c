"""Checkpoint files of `rmsprop.tf_keras.RMSprop`, which every front end reads."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy
import tensorflow as tf

from rmsprop._core import slots as _slots
from rmsprop._kerases import files
from rmsprop._kerases.attributes import HOMES
from rmsprop._kerases.configs import plain_number
from rmsprop._kerases.files import Kept
from rmsprop._kerases.following import leave
from rmsprop._tensorflow.checks import dtype_of
from rmsprop._tf_keras.rates import Schedule, given

if TYPE_CHECKING:
    from rmsprop._tf_keras.state import State


def save(optimizer: "State", path: str | PathLike[str], variables: bool, metadata: Mapping[str, str] | None) -> None:
    """Write a file."""
    kept = _kept(optimizer, "save", variables)
    files.save(kept, path, variables, metadata, int(optimizer.iterations), lambda one: one.numpy())


def load(
    optimizer: "State", path: str | PathLike[str], variables: bool, names: Mapping[str, str] | None
) -> dict[str, str]:
    """Read a file into the variables, which traced functions hold."""
    kept, counter = _kept(optimizer, "load", variables), optimizer.iterations
    pairs, found = files.read(kept, path, variables, names, counter.dtype.max)
    (rate,) = found.rates
    for variable in kept.variables:
        leave(optimizer, variable)  # averages that waited for values of a file read before
    for variable, value in pairs:
        variable.assign(value)
    counter.assign(found.iterations)
    optimizer._unstarted = None
    if rate is not None and not isinstance(optimizer._learning_rate, Schedule):
        optimizer._learning_rate.assign(rate)
    return found.metadata


def _kept(optimizer: "State", method: str, variables: bool) -> Kept:
    """Find what the optimizer keeps.

    Raises:
        ValueError: it is not built, a function is being traced, the state is on a mesh, or a variable is gone.
    """
    if not tf.executing_eagerly():
        raise ValueError(f"{method} reads or writes a file: it cannot be traced, call it outside of tf.function")
    if not getattr(optimizer, "_built", False):
        raise ValueError(f"{method} needs the variables: call build(var_list) first")
    if optimizer._has_mesh():
        raise ValueError(
            f"{method} cannot see all of the state, which is spread over a mesh: tf.train.Checkpoint saves and "
            "restores it"
        )
    owners = list(optimizer._owners)
    if any(one is None for one in owners):
        raise ValueError(
            f"{method} needs the variables' names, and a variable that the optimizer was built for is gone"
        )
    slots = {slot.name: getattr(optimizer, HOMES[slot.name]) for slot in _slots.slots(optimizer._options)}
    rate = given(optimizer._learning_rate)
    number = rate if callable(rate) else plain_number(optimizer._options.learning_rate, rate.numpy())
    options = replace(optimizer._options, learning_rate=number)
    return Kept("tf_keras", [one.name.removesuffix(":0") for one in owners], owners, slots, options, _numpy_dtype)


def _numpy_dtype(variable: Any) -> numpy.dtype[Any]:
    return _slots.numpy_dtype(dtype_of(variable).name)
