"""The state of each variable: names, order, types and starting values.

A checkpoint holds ``<slot>/<variable name>`` for every slot that the options need: two optimizers can exchange state if
they need the same slots for the same names and shapes.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

import numpy

from rmsprop._core.options import Options

#: Slot name -> the attribute of an optimizer of Keras that holds its variables, by which Keras's checkpoints go.
KERAS_ATTRIBUTES: Final = {
    "average": "_model_variables_moving_average",
    "velocity": "_velocities",
    "momentum": "_momentums",
    "average_gradient": "_average_gradients",
}


@final
class Slot(NamedTuple):
    """One kind of state; `start` is the value at build, None for a copy of the variable."""

    name: str
    start: float | None


def slots(options: Options) -> tuple[Slot, ...]:
    """Return the slots that each variable has with these options, in tf_keras's order."""
    found = [Slot("average", None)] if options.use_ema else []
    found.append(Slot("velocity", options.initial_velocity))
    if options.has_momentum:
        found.append(Slot("momentum", 0.0))
    if options.centered:
        found.append(Slot("average_gradient", 0.0))
    return tuple(found)


def slot_dtype(options: Options, variable: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the type of a variable's slots: that of the option `slot_dtype`, else the variable's own."""
    if options.slot_dtype is None or options.slot_dtype == variable.name:
        return variable
    return numpy_dtype(options.slot_dtype)


def numpy_dtype(name: str) -> numpy.dtype[Any]:
    """Return the type with one of the names in `rmsprop._core.checks.FLOATS`."""
    if name == "bfloat16":
        # The one type that NumPy needs a package for, imported only for bfloat16 arrays.
        import ml_dtypes

        found: numpy.dtype[Any] = numpy.dtype(ml_dtypes.bfloat16)
        return found
    return numpy.dtype(name)


def key(slot: str, variable: str) -> str:
    """Return the name of a slot in a checkpoint: ``<slot>/<variable name>``."""
    return f"{slot}/{variable}"


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the differences of a checkpoint, one line a tensor, from ``key -> (dtype name, shape)`` of both."""
    shown = [{name: f"{dtype} {list(shape)}" for name, (dtype, shape) in one.items()} for one in (expected, found)]
    needed, there = shown
    lines = [f"{name} is missing, {text} is needed" for name, text in needed.items() if name not in there]
    lines += [f"{name} is not needed, the file holds {text}" for name, text in there.items() if name not in needed]
    lines += [
        f"{name} is {there[name]}, {text} is needed"
        for name, text in needed.items()
        if name in there and expected[name] != found[name]
    ]
    return lines
