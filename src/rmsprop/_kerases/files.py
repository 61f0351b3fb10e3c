"""Checkpoint files of the optimizers of both Kerases, whose state is in variables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from os import PathLike
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Found, Needed
from rmsprop._core.saving.matching import Group, plain_names


class Kept(NamedTuple):
    """What an optimizer keeps.

    Attributes:
        front_end: the one that it is of.
        names: of the variables that it was built for.
        variables: they.
        slots: slot name -> a variable for each of them, None for one that has no state.
        options: the arguments; the learning rate is a number, or what rules it.
        dtype_of: gives NumPy's type of a variable.
    """

    front_end: str
    names: Sequence[str]
    variables: Sequence[Any]
    slots: Mapping[str, Sequence[Any]]
    options: Options
    dtype_of: Callable[[Any], numpy.dtype[Any]]

    def group(self, variables: bool) -> Group:
        """Give the variables as the one group of a file that holds them, or only of those that have state."""
        has_state = [variables or one is not None for one in self.slots["velocity"]]
        return Group([*compress(plain_names(self.names), has_state)], self.options)

    def tensors(self, variables: bool) -> Iterator[tuple[str, Any]]:
        """Give what a file holds, by ``<slot>/<variable>``."""
        names = plain_names(self.names)
        for slot, made in (*self.slots.items(), *([("variable", self.variables)] if variables else [])):
            yield from ((_slots.key(slot, name), one) for name, one in zip(names, made, strict=True) if one is not None)


def save(
    kept: Kept,
    path: str | PathLike[str],
    variables: bool,
    metadata: Mapping[str, str] | None,
    iterations: int,
    value_of: Callable[[Any], NDArray[Any]],
) -> None:
    """Write a file.

    Args:
        kept: what the optimizer keeps.
        path: the file.
        variables: whether to write the variables too.
        metadata: the user's texts.
        iterations: steps done.
        value_of: gives a variable's numbers.
    """
    # A type that a framework has no array of comes as a larger one.
    tensors = {key: value_of(one).astype(kept.dtype_of(one), copy=False) for key, one in kept.tensors(variables)}
    checkpoint.write(path, kept.front_end, [kept.group(variables)], tensors, iterations, metadata)


def read(
    kept: Kept, path: str | PathLike[str], variables: bool, names: Mapping[str, str] | None, most: int
) -> tuple[list[tuple[Any, NDArray[Any]]], Found]:
    """Read a file of at most `most` steps, and give each variable with its new numbers; nothing is assigned yet."""
    mine = dict(kept.tensors(variables))
    needed = {key: Needed(kept.dtype_of(one), tuple(one.shape)) for key, one in mine.items()}
    found = checkpoint.read(path, [kept.group(variables)], needed, names, most=most)
    return [(one, found.tensors[key]) for key, one in mine.items()], found
