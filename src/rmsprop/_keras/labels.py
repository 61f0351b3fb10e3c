"""The kinds of the arrays of a Keras file, which are numbered: files of ours note them, files of Keras's own do not.

A label is a list of kinds in the order of the arrays, "iteration", "learning_rate", or a slot's. In an HDF5 file it is
an attribute of the group that holds them, where Keras's own optimizer does not stumble over it. Keras has no public
name for that group; without it arrays are matched by number alone, as in Keras's own files, after a warning.
"""

from collections.abc import Iterable
from functools import cache
from itertools import groupby
from typing import Any, Final

import keras
import numpy

from rmsprop._core.warnings import warn
from rmsprop._kerases.built import Built

_ATTRIBUTE: Final = "rmsprop_state"

#: The kinds that an optimizer has before it is built.
NUMBERS: Final = ("iteration", "learning_rate")

ADVICE: Final = (
    "it is other state than this optimizer keeps. Construct it with the same momentum, centered, use_ema and "
    "gradient_accumulation_steps"
)


def of(counter: Any, rate: Any, built: Built | None, variables: Iterable[Any]) -> list[tuple[str, Any]]:
    """Pair each of an optimizer's variables with its kind; `built` is None before there is any state."""
    kinds = dict(zip((id(counter), id(rate)), NUMBERS, strict=True))
    if built is not None:
        for kind, made in (*built.slots.items(), ("gradient_accumulator", built.collected)):
            kinds |= {id(one): kind for one in made if one is not None}
    return [(kinds[id(variable)], variable) for variable in variables]


def write(store: Any, label: Iterable[tuple[str, Any]]) -> None:
    """Note a label in a file, if it does not have it yet; warn once if files hold no notes."""
    notes = _notes(store)
    if notes is None:
        _warn()
    elif _ATTRIBUTE not in notes:
        notes[_ATTRIBUTE] = ",".join(f"{len(list(run))} {kind}" for kind, run in groupby(kind for kind, _ in label))


def read(store: Any) -> list[str] | None:
    """Return the kinds that a file notes, or None; warn once if files hold no notes."""
    notes = _notes(store)
    if notes is None:
        _warn()
        return None
    text = notes.get(_ATTRIBUTE)
    if text is None:
        return None
    runs = (run.split(" ") for run in str(text).split(","))
    return [kind for count, kind in runs for _ in range(int(count))]


def numbers_alone(store: Any) -> list[str] | None:
    """Return the kinds in the file of an optimizer that was not built; None if there is more in it."""
    noted, keys = read(store), list(store.keys())
    if noted is not None:
        return noted if set(noted) <= set(NUMBERS) else None
    # Keras's own: one if a schedule rules.
    few = len(keys) <= len(NUMBERS) and all(numpy.shape(store[key]) == () for key in keys)
    return list(NUMBERS[: len(keys)]) if few else None


def _notes(store: Any) -> Any:
    """Return the attributes of the group that holds the arrays; None if there is no such group."""
    group = getattr(store, "_h5_entry_group", None)
    # A dictionary is what Keras has for a file, or one of several, without arrays of the optimizer.
    return {} if isinstance(group, dict) else getattr(group, "attrs", None)


@cache
def _warn() -> None:
    warn(
        f"Keras {keras.__version__} has no place in its files where rmsprop could note which state an array is: a file "
        "of other state, with as many arrays of the same shapes, is loaded without an error. Construct the optimizer "
        "with the same momentum, centered, use_ema and gradient_accumulation_steps as when the file was saved",
        through="keras",
    )


def match(label: list[tuple[str, Any]], noted: list[str] | None, keys: Iterable[str]) -> list[tuple[Any, str]]:
    """Pair an optimizer's variables with the keys of a file's arrays.

    Raises:
        ValueError: the file holds other state.
    """
    count = len(list(keys))
    found = noted if noted is not None else [kind for kind, _ in label] if count == len(label) else None
    if found is None or len(found) != count:
        raise ValueError(f"the file holds {count} arrays, {_list([kind for kind, _ in label])} are needed: {ADVICE}")
    # A schedule has no number, and to go on with one after a number, or without one, is the user's choice.
    mine = [(kind, variable) for kind, variable in label if kind != "learning_rate" or kind in found]
    theirs = [(kind, str(number)) for number, kind in enumerate(found)]
    theirs = [one for one in theirs if one[0] != "learning_rate" or any(kind == one[0] for kind, _ in label)]
    if [kind for kind, _ in mine] != [kind for kind, _ in theirs]:
        needed = _list([kind for kind, _ in label])
        raise ValueError(f"the file holds {_list(found)}, but {needed} are needed: {ADVICE}")
    return [(variable, key) for (_, variable), (_, key) in zip(mine, theirs, strict=True)]


def _list(kinds: list[str]) -> str:
    return ", ".join(f"{len(list(run))} {kind}" for kind, run in groupby(kinds))
