"""The options as a plan needs them: storage types, names that are on, and a row of the group table."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

from rmsprop._core.options import Options
from rmsprop._core.rule import SCALARS, STATE
from rmsprop._core.slots import slot_dtype
from rmsprop._core.tables import JOINT, NONE, OWN, Storage, compute_type


def storage_of(options: Options, variable: numpy.dtype[Any], gradient: numpy.dtype[Any]) -> Storage:
    """Return how a variable, its gradient and its slots are stored, and what they are computed in."""
    slots = slot_dtype(options, variable)
    return Storage(gradient, variable, slots, numpy.dtype(compute_type(variable, slots)))


def fill_group(groups: Mapping[str, NDArray[numpy.float64]], number: int, options: Options) -> None:
    """Write the numbers of a group's options into row `number` of `groups`, a column for each name of `GROUP`."""
    for name, value in group_numbers(options).items():
        groups[name][number] = value


def group_numbers(options: Options) -> dict[str, Any]:
    """Return the numbers of a group's options by the columns of GROUP, without the learning rate."""
    found: dict[str, Any] = options.constants(decays=True)
    if options.clipnorm is not None:
        found |= {"norm": OWN, "limit": options.clipnorm}
    elif options.global_clipnorm is not None:
        found |= {"norm": JOINT, "limit": options.global_clipnorm}
    else:
        found |= {"norm": NONE, "limit": 0.0}
    every = options.ema_overwrite_frequency if options.use_ema else None
    found["frequency"] = 0 if every is None else every
    return found


def names_on(options: Options, slots: Iterable[str], decays: bool, scaled: bool = False) -> tuple[str, ...]:
    """Return the names of the slots and scalars that are on for a variable, in the rule's order.

    Args:
        options: the checked arguments.
        slots: names of the variable's slots.
        decays: whether weight decay applies to it, if it is on.
        scaled: whether its gradient is multiplied by a number although no norm clips.
    """
    found = {"variable", *slots, *options.constants(decays), *options.changing()}
    if scaled:
        found.add("clip_scale")
    return tuple(name for name in (*STATE, *SCALARS) if name in found)
