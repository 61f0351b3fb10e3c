"""The parts of a checkpoint and of an optimizer that belong together: variables by name or position, groups, options.

It knows names, shapes and options, and nothing of files or arrays. Tensors, by ``<slot>/<variable>``, are any objects
with a shape.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from rmsprop._core import slots
from rmsprop._core.options import Options
from rmsprop._core.saving.names import Named, pair, without_wrappers
from rmsprop._core.warnings import warn

#: Options that decide how a program steps and how it starts, and not the meaning of the state; the types of the state
#: are compared with the tensors.
_NOT_COMPARED: Final = ("learning_rate", "jit_compile", "name", "slot_dtype", "initial_velocity")

#: How many names a message lists.
_SHOWN: Final = 32


@final
class Group(NamedTuple):
    """Variables of an optimizer with the same options.

    Attributes:
        names: of the variables, each once among all groups.
        options: their options; the learning rate is a number, a schedule or a function.
        maximize: whether steps go up, as in torch.
    """

    names: Sequence[str]
    options: Options
    maximize: bool = False


@final
class SavedGroup(NamedTuple):
    """Variables of a file with the same options.

    Without names, in files of early versions, all variables are in one group, in an unknown order. The rate is None if
    it was no number.
    """

    names: list[str] | None
    config: Mapping[str, Any]
    rate: float | None


def plain_names(names: Sequence[str]) -> list[str]:
    """Return unique names of variables: their own, or their numbers if one is empty or repeated."""
    if len(set(names)) < len(names) or "" in names:
        return [str(number) for number in range(len(names))]
    return list(names)


def match(
    shown: str,
    groups: Sequence[Group],
    needed: Mapping[str, Any],
    saved: Sequence[SavedGroup],
    entries: Mapping[str, Any],
    names: Mapping[str, str] | None,
) -> dict[str, str]:
    """Match the variables of a file with those here.

    By name, in any order, if all names are equal. With no name in common by position, if all shapes agree, after a
    warning that lists the pairs. `names` decides, if it is given.

    Args:
        shown: the file, for messages.
        groups: the variables here.
        needed: the tensors to read.
        saved: the groups of the file.
        entries: the tensors of the file.
        names: name in the file -> name here, for those that differ.

    Returns:
        Name in the file -> name here.

    Raises:
        TypeError: `names` is no mapping of strings.
        ValueError: only a part of the names are equal, or numbers or shapes of variables differ by position.
    """
    mine = [name for group in groups for name in group.names]
    theirs, is_ordered = _saved_names(saved, entries)
    if names is not None:
        return _rename(shown, mine, theirs, names)
    same = {name: name for name in theirs}
    if not is_ordered or set(mine) == set(theirs):
        return same
    plain = [Counter(map(without_wrappers, those)) for those in (mine, theirs)]
    if plain[0] != plain[1] and plain[0].keys() & plain[1].keys():
        return same  # the differences are listed with the tensors
    order = pair(_named(mine, needed), _named(theirs, entries), f"checkpoint {shown!r}")
    return {theirs[place]: name for place, name in zip(order, mine, strict=True)}


def _saved_names(saved: Sequence[SavedGroup], entries: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the names of a file's variables, and whether they are in order."""
    if all(group.names is not None for group in saved):
        return [name for group in saved for name in group.names or ()], True
    found = [name for slot, _, name in (key.partition("/") for key in entries) if slot == "velocity"]
    found.sort(key=lambda name: (len(name), name))
    return found, _is_numbered(found)


def _is_numbered(names: Sequence[str]) -> bool:
    return [*names] == [str(number) for number in range(len(names))]


def _named(names: Sequence[str], tensors: Mapping[str, Any]) -> list[Named]:
    """Return variables with the shapes of their state; numbers are no names."""
    numbered = _is_numbered(names)
    shapes = [tensors.get(slots.key("velocity", name), tensors.get(slots.key("variable", name))) for name in names]
    return [
        Named(None if numbered else name, None if one is None else tuple(one.shape))
        for name, one in zip(names, shapes, strict=True)
    ]


def _rename(shown: str, mine: Sequence[str], theirs: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the names here of a file's variables, by the user's names."""
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
        raise TypeError(f"names={names!r} is no mapping of names in the file to names here")
    unknown = [name for name in names if name not in theirs]
    if unknown:
        raise ValueError(f"names has {_shown(unknown)}, which {shown!r} does not hold: it holds {_shown(theirs)}")
    found = {name: names.get(name, name) for name in theirs}
    missing, others = Counter(mine) - Counter(found.values()), Counter(found.values()) - Counter(mine)
    if missing or others:
        lines = [f"{name!r} is given to no variable of the file" for name in missing]
        lines += [f"{name!r} is not a variable here, or is given twice" for name in others]
        raise ValueError(f"names={dict(names)!r} does not pair all variables of {shown!r}:\n  " + "\n  ".join(lines))
    return found


def _shown(names: Iterable[str]) -> str:
    found = [*names]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*map(repr, found[:_SHOWN]), *more])


def compare_groups(
    shown: str, groups: Sequence[Group], saved: Sequence[SavedGroup], own: Mapping[str, str]
) -> list[float | None]:
    """Compare the options of groups with those of the same variables in a file.

    Returns:
        The learning rate in the file for each group here, None if there is no number.

    Warns:
        UserWarning: options differ; they are listed.

    Raises:
        ValueError: variables of one group here have different options or learning rates in the file.
    """
    owners = {own[name]: group for group in saved for name in (own if group.names is None else group.names)}
    rates, lines = [], []
    for number, group in enumerate(groups):
        theirs = [one for one in saved if any(owners.get(name) is one for name in group.names)]
        where = f" in param_groups[{number}]" if len(groups) > 1 else ""
        for one in theirs[1:]:
            unlike = _differences(theirs[0].config, one.config)
            if not callable(group.options.learning_rate) and one.rate != theirs[0].rate:
                unlike["learning_rate"] = theirs[0].rate, one.rate
            if unlike:
                listed = ", ".join(f"{name}={one!r} and {other!r}" for name, (one, other) in unlike.items())
                raise ValueError(f"{shown!r} holds groups of variables that differ and are one here{where}: {listed}")
        if theirs:
            unlike = _differences(theirs[0].config, {**vars(group.options), "maximize": group.maximize})
            lines += [f"{name}={saved!r} in the file, {mine!r} here{where}" for name, (saved, mine) in unlike.items()]
        rates.append(theirs[0].rate if theirs else None)
    if lines:
        warn(f"the checkpoint {shown!r} was saved with other options, those here count:\n  " + "\n  ".join(lines))
    return rates


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each option that differs and has an effect; a missing option has its default."""
    default = {**vars(Options()), "maximize": False}
    both = [{**default, **config} for config in (one, other)]
    compared = [name for name in default if name not in _NOT_COMPARED]
    if not any(config["use_ema"] for config in both):
        compared = [name for name in compared if not name.startswith("ema_")]
    # 0 turns off what None turns off.
    return {
        name: (both[0][name], both[1][name]) for name in compared if (both[0][name] or None) != (both[1][name] or None)
    }
