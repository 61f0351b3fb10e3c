"""Checkpoint files of the optimizers of both Kerases, whose state is in variables."""

from collections.abc import Iterator, Mapping
from itertools import compress
from os import PathLike
from typing import Any, NamedTuple, final

import numpy

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Needed
from rmsprop._core.saving.matching import Group, plain_names
from rmsprop._kerases.built import Built
from rmsprop._kerases.following import Count
from rmsprop._kerases.library import Library


@final
class Contents(NamedTuple):
    """What a file holds of an optimizer."""

    library: Library
    state: Built
    options: Options  # the arguments; the learning rate is the present number, or the schedule
    counter: Any  # the variable that counts the calls
    each: int  # how many calls make one step
    rate: Any  # the variable of the learning rate; None: a schedule rules

    def names(self) -> list[str]:
        """Name the variables as a file does."""
        return plain_names([self.library.saved_name(one) for one in self.state.variables()])

    def group(self, variables: bool) -> Group:
        """Return the one group of a file: all variables if it holds them, else only those that have state."""
        has_state = [variables or one is not None for one in self.state.slots["velocity"]]
        return Group([*compress(self.names(), has_state)], self.options)

    def tensors(self, variables: bool) -> Iterator[tuple[str, Any]]:
        """Pair ``<slot>/<variable>`` with the variable of each tensor in a file."""
        names, owners = self.names(), {"variable": self.state.variables()} if variables else {}
        for slot, made in {**self.state.slots, **owners}.items():
            yield from ((_slots.key(slot, name), one) for name, one in zip(names, made, strict=True) if one is not None)


def save(contents: Contents, path: str | PathLike[str], variables: bool, metadata: Mapping[str, str] | None) -> None:
    """Write a file; `variables` says whether it holds the variables too."""
    library, each = contents.library, contents.each
    calls = int(library.value_of(contents.counter))
    if calls % each:
        raise ValueError(
            f"save cannot keep gradients that are collected, of {calls % each} of {each} calls: call it after a step, "
            "or save the model, whose file holds them"
        )
    # A type that a framework has no array of comes as a larger one.
    tensors = {
        key: library.value_of(one).astype(library.dtype_of(one), copy=False) for key, one in contents.tensors(variables)
    }
    front_end = library.module.__name__
    checkpoint.write(path, front_end, [contents.group(variables)], tensors, calls // each, metadata)


def load(
    contents: Contents, path: str | PathLike[str], variables: bool, names: Mapping[str, str] | None, count: Count
) -> dict[str, str]:
    """Read a file into the variables, which traced functions hold; return the user's texts."""
    dtype_of, mine = contents.library.dtype_of, dict(contents.tensors(variables))
    needed = {key: Needed(dtype_of(one), tuple(one.shape)) for key, one in mine.items()}
    most = int(numpy.iinfo(dtype_of(contents.counter)).max) // contents.each
    found = checkpoint.read(path, [contents.group(variables)], needed, names, most=most)
    (rate,) = found.rates
    contents.state.leave(count)
    contents.state.clear()
    for key, one in mine.items():
        one.assign(found.tensors[key])
    contents.counter.assign(found.iterations * contents.each)
    if rate is not None and contents.rate is not None:
        contents.rate.assign(rate)
    return found.metadata
