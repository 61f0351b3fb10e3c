"""What a launch needs to know of the options: how numbers are stored, and the scalars of a step."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

from rmsprop._core.options import Options
from rmsprop._core.rule import SCALARS, STATE
from rmsprop._core.slots import slot_dtype
from rmsprop._core.tables import JOINT, NONE, OWN, Storage, compute_type


def storage_of(options: Options, variable: numpy.dtype[Any], gradient: numpy.dtype[Any]) -> Storage:
    """Tell how the numbers of a variable, of its gradient and of its state are stored, and computed."""
    slots = slot_dtype(options, variable)
    return Storage(gradient, variable, slots, numpy.dtype(compute_type(variable, slots)))


def constants(options: Options, decays: bool) -> dict[str, float]:
    """Give the scalars that are on and stay as they are; complements are taken in double."""
    found = {"rho": options.rho, "rho_c": 1 - options.rho, "epsilon": options.epsilon}
    if options.clipvalue is not None:
        found["clip_value"] = options.clipvalue
    if decays and options.decays:
        assert options.weight_decay is not None
        found["weight_decay"] = options.weight_decay
    if options.has_momentum:
        found["mu"] = options.momentum
    if options.use_ema:
        found |= {"ema_momentum": options.ema_momentum, "ema_momentum_c": 1 - options.ema_momentum}
    return found


def changing(options: Options) -> list[str]:
    """Name the scalars that are on and differ from step to step."""
    found = ["learning_rate"]
    if options.clips_by_norm:
        found.append("clip_scale")
    if options.use_ema and options.ema_overwrite_frequency is not None:
        found.append("overwrite")
    return found


def fill_group(groups: Mapping[str, NDArray[numpy.float64]], number: int, options: Options) -> None:
    """Write what is known of a group's options into its row of a step's tables, but for numbers that a plan is fed.

    Args:
        groups: column -> numbers of all groups; see `rmsprop._core.tables`.
        number: of the group.
        options: the checked arguments.
    """
    for name, value in group_numbers(options).items():
        groups[name][number] = value


def group_numbers(options: Options) -> dict[str, Any]:
    """Give what is known of a group's options by the columns of `rmsprop._core.tables.GROUP`."""
    found: dict[str, Any] = dict(constants(options, decays=True))
    if options.clipnorm is not None:
        found |= {"norm": OWN, "limit": options.clipnorm}
    elif options.global_clipnorm is not None:
        found |= {"norm": JOINT, "limit": options.global_clipnorm}
    else:
        found |= {"norm": NONE, "limit": 0.0}
    every = options.ema_overwrite_frequency if options.use_ema else None
    found["frequency"] = 0 if every is None else every
    return found


def names_on(options: Options, slots: Iterable[str], decays: bool) -> tuple[str, ...]:
    """Name the slots and scalars that are on for a variable, in the rule's order."""
    found = {"variable", *slots, *constants(options, decays), *changing(options)}
    return tuple(name for name in (*STATE, *SCALARS) if name in found)
