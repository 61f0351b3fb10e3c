"""The state that the optimizer keeps for each variable: names, order, types and starting values.

A checkpoint holds ``<slot>/<variable name>`` for every slot that the options need, so two optimizers can exchange
state exactly when they need the same slots for the same names and shapes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy

from rmsprop._core.options import Options


class Slot(NamedTuple):
    """One kind of state. `start` is the value at build, None for a copy of the variable."""

    name: str
    start: float | None


def slots(options: Options) -> tuple[Slot, ...]:
    """List the slots that `options` need, in the order in which tf_keras keeps them."""
    found = [Slot("average", None)] if options.use_ema else []
    found.append(Slot("velocity", options.initial_velocity))
    if options.has_momentum:
        found.append(Slot("momentum", 0.0))
    if options.centered:
        found.append(Slot("average_gradient", 0.0))
    return tuple(found)


def slot_dtype(options: Options, variable: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Give the type in which a variable's state is kept."""
    if options.slot_dtype is None or options.slot_dtype == variable.name:
        return variable
    return numpy_dtype(options.slot_dtype)


def numpy_dtype(name: str) -> numpy.dtype[Any]:
    """Give NumPy's type of a name."""
    if name == "bfloat16":
        # The one type that NumPy needs a package for; whoever has no bfloat16 arrays never imports it.
        import ml_dtypes

        found: numpy.dtype[Any] = numpy.dtype(ml_dtypes.bfloat16)
        return found
    return numpy.dtype(name)


def key(slot: str, variable: str) -> str:
    """Name one tensor of a checkpoint."""
    return f"{slot}/{variable}"


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List what keeps a checkpoint from fitting, one line a tensor, from ``key -> (dtype name, shape)`` of both."""

    def describe(entry: Any) -> str:
        dtype, shape = entry
        return f"{dtype} {list(shape)}"

    lines = [f"{name} is missing, {describe(expected[name])} is needed" for name in _without(expected, found)]
    lines += [f"{name} is not needed, the file holds {describe(found[name])}" for name in _without(found, expected)]
    for name in expected:
        if name in found and expected[name] != found[name]:
            lines.append(f"{name} is {describe(found[name])}, {describe(expected[name])} is needed")
    return lines


def _without(these: Iterable[str], those: Mapping[str, Any]) -> list[str]:
    return [name for name in these if name not in those]
