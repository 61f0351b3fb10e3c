"""Checkpoint files of `rmsprop.keras.RMSprop`, which every front end reads."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import keras
import numpy
from numpy.typing import NDArray

from rmsprop._core import slots as _slots
from rmsprop._keras.backends import backend
from rmsprop._kerases import files
from rmsprop._kerases.attributes import COLLECTED, HOMES
from rmsprop._kerases.configs import plain_number
from rmsprop._kerases.files import Kept

if TYPE_CHECKING:
    from rmsprop._keras.state import State


def save(optimizer: "State", path: str | PathLike[str], variables: bool, metadata: Mapping[str, str] | None) -> None:
    """Write a file."""
    kept, calls = _kept(optimizer, "save", variables), int(_numbers(optimizer._iterations))
    each = optimizer.gradient_accumulation_steps or 1
    if calls % each:
        raise ValueError(
            f"save cannot keep gradients that are collected, of {calls % each} of {each} calls: call it after a step, "
            "or save the model, whose file holds them"
        )
    files.save(kept, path, variables, metadata, calls // each, _numbers)


def load(
    optimizer: "State", path: str | PathLike[str], variables: bool, names: Mapping[str, str] | None
) -> dict[str, str]:
    """Read a file into the variables, which traced functions hold; what was collected is dropped."""
    counter, each = optimizer._iterations, optimizer.gradient_accumulation_steps or 1
    most = int(numpy.iinfo(counter.dtype).max) // each
    pairs, found = files.read(_kept(optimizer, "load", variables), path, variables, names, most)
    (rate,) = found.rates
    optimizer._leave()
    for variable, value in pairs:
        variable.assign(value)
    for collected in getattr(optimizer, COLLECTED, ()):
        collected.assign(keras.ops.zeros(collected.shape, collected.dtype))
    counter.assign(found.iterations * each)
    if rate is not None and isinstance(optimizer._learning_rate, keras.Variable):
        optimizer._learning_rate.assign(rate)
    return found.metadata


def _kept(optimizer: "State", method: str, variables: bool) -> Kept:
    """Find what the optimizer keeps.

    Raises:
        ValueError: it is not built, there are no values because a function is being traced, or a part of one is on a
            device of another process.
    """
    if not optimizer.built:
        raise ValueError(f"{method} needs the variables: call build(var_list) first")
    if backend().count_of(optimizer._iterations) is None:
        raise ValueError(f"{method} reads or writes a file: it cannot be traced, call it between steps")
    owners = optimizer._trainable_variables
    slots = {slot.name: getattr(optimizer, HOMES[slot.name]) for slot in _slots.slots(optimizer._options)}
    for one in (*(owners if variables else ()), *(one for made in slots.values() for one in made if one is not None)):
        if not getattr(one.value, "is_fully_addressable", True):
            raise ValueError(
                f"{method} cannot see all of {one.path!r}, whose parts are on devices of other processes: save the "
                "model by keras.saving"
            )
    options, rate = optimizer._options, optimizer._learning_rate
    if isinstance(rate, keras.Variable):
        options = replace(options, learning_rate=plain_number(options.learning_rate, _numbers(rate)[()]))
    return Kept("keras", [one.path for one in owners], owners, slots, options, _numpy_dtype)


def _numbers(variable: Any) -> NDArray[Any]:
    found: NDArray[Any] = keras.ops.convert_to_numpy(variable)
    return found


def _numpy_dtype(variable: Any) -> numpy.dtype[Any]:
    return _slots.numpy_dtype(keras.backend.standardize_dtype(variable.dtype))
