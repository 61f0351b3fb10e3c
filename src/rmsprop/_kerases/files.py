"""Checkpoint files of the optimizers of both Kerases, whose state is in variables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from os import PathLike
from typing import Any, NamedTuple, final

import numpy
from numpy.typing import NDArray

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Needed
from rmsprop._core.saving.matching import Group, plain_names


@final
class Contents(NamedTuple):
    """What a file holds of an optimizer."""

    front_end: str
    names: Sequence[str]  # of the variables
    variables: Sequence[Any]
    slots: Mapping[str, Sequence[Any]]  # slot name -> a variable for each of them, None for one that has no state
    options: Options  # the arguments; the learning rate is the present number, or the schedule
    counter: Any  # the variable that counts the calls
    each: int  # how many calls make one step
    rate: Any  # the variable of the learning rate; None: a schedule rules
    dtype_of: Callable[[Any], numpy.dtype[Any]]  # NumPy's type of a variable
    value_of: Callable[[Any], NDArray[Any]]  # a variable's numbers

    def group(self, variables: bool) -> Group:
        """Return the one group of a file: all variables if it holds them, else only those that have state."""
        has_state = [variables or one is not None for one in self.slots["velocity"]]
        return Group([*compress(plain_names(self.names), has_state)], self.options)

    def tensors(self, variables: bool) -> Iterator[tuple[str, Any]]:
        """Pair ``<slot>/<variable>`` with the variable of each tensor in a file."""
        names = plain_names(self.names)
        for slot, made in (*self.slots.items(), *([("variable", self.variables)] if variables else [])):
            yield from ((_slots.key(slot, name), one) for name, one in zip(names, made, strict=True) if one is not None)


def save(contents: Contents, path: str | PathLike[str], variables: bool, metadata: Mapping[str, str] | None) -> None:
    """Write a file; `variables` says whether it holds the variables too."""
    calls = int(contents.value_of(contents.counter))
    if calls % contents.each:
        raise ValueError(
            f"save cannot keep gradients that are collected, of {calls % contents.each} of {contents.each} calls: call "
            "it after a step, or save the model, whose file holds them"
        )
    # A type that a framework has no array of comes as a larger one.
    tensors = {
        key: contents.value_of(one).astype(contents.dtype_of(one), copy=False)
        for key, one in contents.tensors(variables)
    }
    group = contents.group(variables)
    checkpoint.write(path, contents.front_end, [group], tensors, calls // contents.each, metadata)


def load(
    contents: Contents,
    path: str | PathLike[str],
    variables: bool,
    names: Mapping[str, str] | None,
    begin: Callable[[], None],
) -> dict[str, str]:
    """Read a file into the variables, which traced functions hold; return the user's texts.

    `begin` is called when the file is read and nothing is assigned yet.
    """
    mine = dict(contents.tensors(variables))
    needed = {key: Needed(contents.dtype_of(one), tuple(one.shape)) for key, one in mine.items()}
    most = int(numpy.iinfo(contents.dtype_of(contents.counter)).max) // contents.each
    found = checkpoint.read(path, [contents.group(variables)], needed, names, most=most)
    (rate,) = found.rates
    begin()
    for key, one in mine.items():
        one.assign(found.tensors[key])
    contents.counter.assign(found.iterations * contents.each)
    if rate is not None and contents.rate is not None:
        contents.rate.assign(rate)
    return found.metadata
