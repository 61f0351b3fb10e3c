"""Which parameters weight decay leaves alone, also after a client has put other tensors in the place of some."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import ref

from torch import Tensor

_REMEDY = (
    "call exclude_from_weight_decay again with the tensors that are meant, or give these a group of their own with "
    "weight_decay=0"
)


class _Seen(NamedTuple):
    """A group as it was when it was last looked at: what it held, and which places of it are excluded."""

    group: Mapping[str, Any]
    parameters: list[ref[Tensor]]
    excluded: list[int]


class Exclusion:
    """What `exclude_from_weight_decay` was told.

    Tensors are remembered by their place in a group too. A client may replace the tensors of a group: shards take the
    place of whole ones, a denser cloud that of a sparser one. As long as a group has as many tensors as before, the new
    one at the place of an excluded one is excluded. Nothing here keeps a tensor alive.

    Args:
        tensors: excluded parameters.
        patterns: regular expressions for names of parameters.

    Attributes:
        patterns: they.
        is_on: whether anything is excluded.
    """

    def __init__(self, tensors: Iterable[Tensor] = (), patterns: Iterable[re.Pattern[str]] = ()) -> None:
        self._excluded = [ref(tensor) for tensor in tensors]
        self._ids = {id(tensor) for one in self._excluded if (tensor := one()) is not None}
        self.patterns = list(patterns)
        self.is_on = bool(self._excluded or self.patterns)
        self._seen: list[_Seen] = []
        self._names: list[Any] = []

    @property
    def tensors(self) -> list[Tensor]:
        """The excluded parameters, those that are excluded by their name left out."""
        return [tensor for one in self._excluded if (tensor := one()) is not None]

    def covers(self, parameter: Tensor, name: str | None) -> bool:
        """Whether weight decay leaves a parameter alone."""
        return id(parameter) in self._ids or (
            name is not None and any(pattern.search(name) for pattern in self.patterns)
        )

    def start(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Remember what groups hold."""
        self._seen = []
        for group in groups:
            self.add(group)

    def add(self, group: Mapping[str, Any]) -> None:
        """Remember what one more group holds."""
        if self._excluded:
            parameters = group["params"]
            places = [place for place, parameter in enumerate(parameters) if id(parameter) in self._ids]
            self._seen.append(_Seen(group, [ref(parameter) for parameter in parameters], places))

    def has_other_names(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Whether parameters have other names than the last time that this was asked, and patterns look at names."""
        if not self.patterns:
            return False
        names = [[*(group.get("param_names") or ())] for group in groups]
        before, self._names = self._names, names
        return names != before

    def follow(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Look at groups again, and take over what has been put in the place of excluded tensors.

        Raises:
            ValueError: an excluded tensor is in no group any more, and which one took its place cannot be told; or a
                group has not as many names as parameters. Nothing has changed then.
        """
        if not any(group.get("weight_decay", True) for group in groups):
            return
        if self.patterns:
            _check_names(groups)
        if not self._excluded or self._is_as_seen(groups):
            return
        known = {id(tensor) for seen in self._seen for one in seen.parameters if (tensor := one()) is not None}
        now = {id(parameter) for group in groups for parameter in group["params"]}
        excluded = [tensor for tensor in self.tensors if id(tensor) in now]
        for number, seen in enumerate(self._seen):
            lost = [place for place in seen.excluded if id(seen.parameters[place]()) not in now]
            if lost:
                parameters = _now(groups, seen.group, number, len(self._seen))
                excluded += _successors(lost, len(seen.parameters), parameters, known, now)
        self._excluded = [ref(tensor) for tensor in excluded]
        self._ids = {id(tensor) for tensor in excluded}
        self.start(groups)

    def falls_back(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Whether `follow` would raise."""
        try:
            self.follow(groups)
        except ValueError:
            return True
        return False

    def _is_as_seen(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        return len(groups) == len(self._seen) and all(
            len(group["params"]) == len(seen.parameters)
            and all(parameter is one() for parameter, one in zip(group["params"], seen.parameters, strict=True))
            for group, seen in zip(groups, self._seen, strict=True)
        )


def _now(
    groups: Sequence[Mapping[str, Any]], group: Mapping[str, Any], place: int, count: int
) -> Sequence[Tensor] | None:
    """Give what a group holds now: the same dictionary, or the one in its place where there are as many as before."""
    if not any(one is group for one in groups):
        if len(groups) != count:
            return None
        group = groups[place]
    found: Sequence[Tensor] = group["params"]
    return found


def _successors(
    lost: Sequence[int], count: int, parameters: Sequence[Tensor] | None, known: set[int], now: set[int]
) -> list[Tensor]:
    """Give the tensors that took the places `lost` of a group that held `count`; none where they were just removed."""
    if parameters is None:
        if now <= known:
            return []
    elif all(id(parameter) in known for parameter in parameters):
        return []
    elif len(parameters) == count and all(id(parameters[place]) not in known for place in lost):
        return [parameters[place] for place in lost]
    raise ValueError(
        "a tensor that exclude_from_weight_decay excluded is in no parameter group any more, and which of the new ones "
        f"took its place cannot be told: {_REMEDY}"
    )


def _check_names(groups: Sequence[Mapping[str, Any]]) -> None:
    for place, group in enumerate(groups):
        names, parameters = group.get("param_names"), group["params"]
        if names is not None and len(names) != len(parameters):
            raise ValueError(
                f"param_groups[{place}] has {len(parameters)} parameters and {len(names)} param_names, by which "
                "exclude_from_weight_decay(var_names=) excludes some: change both together"
            )
