"""What the arrays of a Keras file are, which go there by number: files of ours say it, files of Keras's own do not.

A label is a list of kinds in the order of the arrays, "iteration", "learning_rate", or a slot's. In an HDF5 file it is
an attribute of the group that holds them, where Keras's own optimizer does not stumble over it. Keras has no public
name for that group; where it is not found, arrays go by number alone, as in Keras's own files, after a warning.
"""

from collections.abc import Iterable
from functools import cache
from itertools import groupby
from typing import Any, Final

import keras
import numpy

from rmsprop._core.warnings import warn
from rmsprop._kerases.attributes import COLLECTED, HOMES

_ATTRIBUTE: Final = "rmsprop_state"

#: Kinds of what an optimizer has before it is built.
NUMBERS: Final = ("iteration", "learning_rate")

ADVICE: Final = (
    "it is other state than this optimizer keeps. Construct it with the same momentum, centered, use_ema and "
    "gradient_accumulation_steps"
)


def of(optimizer: Any) -> list[tuple[str, Any]]:
    """Give kind and variable of all that an optimizer keeps."""
    kinds = dict(zip((id(optimizer._iterations), id(optimizer._learning_rate)), NUMBERS, strict=True))
    for kind, home in (*HOMES.items(), ("gradient_accumulator", COLLECTED)):
        kinds |= {id(one): kind for one in getattr(optimizer, home, ()) if one is not None}
    return [(kinds[id(variable)], variable) for variable in optimizer.variables]


def write(store: Any, label: Iterable[tuple[str, Any]]) -> None:
    """Note a label in a file, if it does not have it yet; warn once if files take no notes."""
    notes = _notes(store)
    if notes is None:
        _warn()
    elif _ATTRIBUTE not in notes:
        notes[_ATTRIBUTE] = ",".join(f"{len(list(run))} {kind}" for kind, run in groupby(kind for kind, _ in label))


def read(store: Any) -> list[str] | None:
    """Give the kinds that a file notes, or None; warn once if files take no notes."""
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
    """Give the kinds in the file of an optimizer that was not built; None if there is more in it."""
    noted, keys = read(store), list(store.keys())
    if noted is not None:
        return noted if set(noted) <= set(NUMBERS) else None
    # Keras's own: one if a schedule rules.
    few = len(keys) <= len(NUMBERS) and all(numpy.shape(store[key]) == () for key in keys)
    return list(NUMBERS[: len(keys)]) if few else None


def _notes(store: Any) -> Any:
    """Give the attributes of the group that holds the arrays; None if there is no such thing."""
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
    # A schedule has no number to keep, and whoever goes on with or without one means it.
    mine = [(kind, variable) for kind, variable in label if kind != "learning_rate" or kind in found]
    theirs = [(kind, str(number)) for number, kind in enumerate(found)]
    theirs = [one for one in theirs if one[0] != "learning_rate" or any(kind == one[0] for kind, _ in label)]
    if [kind for kind, _ in mine] != [kind for kind, _ in theirs]:
        needed = _list([kind for kind, _ in label])
        raise ValueError(f"the file holds {_list(found)}, but {needed} are needed: {ADVICE}")
    return [(variable, key) for (_, variable), (_, key) in zip(mine, theirs, strict=True)]


def _list(kinds: list[str]) -> str:
    return ", ".join(f"{len(list(run))} {kind}" for kind, run in groupby(kinds))
