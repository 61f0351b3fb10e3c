"""Which saved state belongs to which parameter: by name where both sides have the same names, else by position.

The same rule in every front end. It knows names and shapes, and nothing of the arrays.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rmsprop._core.warnings import warn

#: What wrappers of models put between the parts of a name: `torch.compile`, `DistributedDataParallel`, checkpoints of
#: activations, FSDP.
_WRAPPERS: Final = frozenset(("_orig_mod", "module", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"))

#: How many lines a message lists.
_SHOWN: Final = 32


class Named(NamedTuple):
    """A parameter, or what was saved of one.

    Attributes:
        name: None where it has none.
        shape: None where it is not known.
    """

    name: str | None
    shape: tuple[int, ...] | None


def pair(mine: Sequence[Named], theirs: Sequence[Named], what: str) -> list[int]:
    """Tell for each of `mine` the place of its own among `theirs`.

    By name, if all names are equal, or are so without what wrappers put into them; shapes are not looked at then. With
    no name in common, or names on one side only, by position, if all known shapes agree. Without names by position.

    Args:
        mine: parameters here; all have a name or none has.
        theirs: what was saved, likewise.
        what: what holds `theirs`, for messages.

    Warns:
        UserWarning: it goes by position although there are names; the pairs are listed.

    Raises:
        ValueError: some names are equal and others are not, or it would go by position and numbers or shapes differ.
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
            _refuse_repeated(ours, what)
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
    """Give a name without what wrappers put into it, at any place but its end."""
    *path, leaf = name.split(".")
    return ".".join([*(part for part in path if part not in _WRAPPERS), leaf])


def _refuse_repeated(names: Sequence[str], what: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"the {what} has the parameters in another order, and these names several times:"
            + _listed(repr(name) for name in repeated)
        )


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
