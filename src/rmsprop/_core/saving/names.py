"""The parameter of each saved state: by name where both sides have the same names, else by position.

Every front end has this rule. It knows names and shapes, and nothing of the arrays.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, final

from rmsprop._core.warnings import warn

#: Parts of a name that wrappers of models insert: `torch.compile`, `DistributedDataParallel`, checkpoints of
#: activations, FSDP.
_WRAPPERS: Final = frozenset(("_orig_mod", "module", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"))

#: How many lines a message lists.
_SHOWN: Final = 32


@final
class Named(NamedTuple):
    """A parameter, or the saved state of one; without a name or a known shape these are None."""

    name: str | None
    shape: tuple[int, ...] | None


def pair(mine: Sequence[Named], theirs: Sequence[Named], what: str) -> list[int]:
    """Return for each of `mine` the place of its counterpart among `theirs`.

    By name, if all names are equal, with or without the parts that wrappers insert; shapes are not compared then. With
    no name in common, or names on one side only, by position, if all known shapes agree. Without names by position.

    Args:
        mine: parameters here; all have a name or none has.
        theirs: saved states; all have a name or none has.
        what: the holder of `theirs`, for messages.

    Warns:
        UserWarning: parameters are matched by position although there are names; the pairs are listed.

    Raises:
        ValueError: only a part of the names are equal, or numbers or shapes of a match by position differ.
    """
    if all(one.name is None for one in (*mine, *theirs)):
        return _by_position(mine, theirs, what, None)
    if any(one.name is None for one in (*mine, *theirs)):
        return _by_position(mine, theirs, what, "there are names on one side only")
    for plain in (str, without_wrappers):
        ours, others = [plain(str(one.name)) for one in mine], [plain(str(one.name)) for one in theirs]
        if ours == others:
            return [*range(len(ours))]
        if Counter(ours) == Counter(others):
            repeated = [name for name, count in Counter(ours).items() if count > 1]
            if repeated:
                raise ValueError(
                    f"the {what} has the parameters in another order, and these names several times:"
                    + _listed(map(repr, repeated))
                )
            places = {name: place for place, name in enumerate(others)}
            return [places[name] for name in ours]
    if not set(ours) & set(others):
        return _by_position(mine, theirs, what, "no name is on both sides")
    raise ValueError(
        f"the names in the {what} are not those of the parameters here, nor all others:"
        + _listed(f"{name!r} is missing" for name in [*(Counter(ours) - Counter(others)).elements()])
        + _listed(f"{name!r} is only there" for name in [*(Counter(others) - Counter(ours)).elements()])
    )


def without_wrappers(name: str) -> str:
    """Return a name without the parts that wrappers insert, at any place but its end."""
    *path, leaf = name.split(".")
    return ".".join([*(part for part in path if part not in _WRAPPERS), leaf])


def _by_position(mine: Sequence[Named], theirs: Sequence[Named], what: str, why: str | None) -> list[int]:
    pairs = [
        f"{_describe(place, one)} <- {_describe(place, other)}"
        for place, (one, other) in enumerate(zip(mine, theirs, strict=False))
    ]
    if len(mine) != len(theirs):
        reason = "" if why is None else f", and {why}"
        raise ValueError(f"the {what} has {len(theirs)} parameters, here are {len(mine)}{reason}")
    if why is None:
        return [*range(len(mine))]
    unlike = [
        line
        for line, one, other in zip(pairs, mine, theirs, strict=True)
        if one.shape is not None and other.shape is not None and one.shape != other.shape
    ]
    if unlike:
        raise ValueError(f"the {what} does not fit: {why}, and by position shapes differ:" + _listed(unlike))
    if pairs:
        warn(f"the {what} goes by position, as {why}; all shapes agree, and no array is transposed:" + _listed(pairs))
    return [*range(len(mine))]


def _describe(place: int, one: Named) -> str:
    name = f"parameter {place}" if one.name is None else repr(one.name)
    return name if one.shape is None else f"{name} {list(one.shape)}"


def _listed(lines: Iterable[str]) -> str:
    found = [*lines]
    more = [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "".join(f"\n  {line}" for line in [*found[:_SHOWN], *more])
