"""Which parameters weight decay leaves alone, also after other tensors have replaced them in `param_groups`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, final
from weakref import ref

from torch import Tensor

from rmsprop._core.exclusion import compile_patterns, excluded_by_name

Entries = Sequence[Mapping[str, Any]]

_REMEDY = (
    "call exclude_from_weight_decay again with the tensors that are meant, or give these a group of their own with "
    "weight_decay=0"
)


@final
class _Seen(NamedTuple):
    """A group as `follow` saw it last: the entry, its parameters, and the places of excluded ones."""

    entry: Mapping[str, Any]
    parameters: list[ref[Tensor]]
    excluded: list[int]


@final
class Exclusion:
    """The parameters that `exclude_from_weight_decay` excluded; it keeps none of them alive.

    Other libraries may replace the tensors of a group: shards replace whole tensors, a denser cloud of points a sparser
    one. As long as a group has as many tensors as before, the tensor at the place of an excluded one is excluded.
    """

    def __init__(self, tensors: Iterable[Tensor] = (), patterns: Iterable[re.Pattern[str]] = ()) -> None:
        self._set(tensors)
        self.patterns = list(patterns)
        self.is_on = bool(self._excluded or self.patterns)
        self._seen: list[_Seen] = []
        self._names: list[Any] = []

    def _set(self, tensors: Iterable[Tensor]) -> None:
        self._excluded = [ref(tensor) for tensor in tensors]
        self._ids = {*map(id, self.tensors)}

    @property
    def tensors(self) -> list[Tensor]:
        """The parameters that are excluded by themselves, not by their names."""
        return [tensor for one in self._excluded if (tensor := one()) is not None]

    def covers(self, parameter: Tensor, name: str | None) -> bool:
        """Return whether weight decay leaves a parameter alone."""
        by_name = name is not None and any(pattern.search(name) for pattern in self.patterns)
        return by_name or id(parameter) in self._ids

    def start(self, entries: Entries) -> None:
        """Begin with these groups."""
        self._seen = []
        for entry in entries:
            self.add(entry)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add a group."""
        if self._excluded:
            parameters = entry["params"]
            places = [place for place, parameter in enumerate(parameters) if id(parameter) in self._ids]
            self._seen.append(_Seen(entry, [ref(parameter) for parameter in parameters], places))

    def has_other_names(self, entries: Entries) -> bool:
        """Return whether names of parameters have changed since the last call, if patterns exclude by name."""
        if not self.patterns:
            return False
        before, self._names = self._names, [[*(entry.get("param_names") or ())] for entry in entries]
        return self._names != before

    def follow(self, entries: Entries) -> None:
        """Look at the groups again, and exclude the tensors that have replaced excluded ones.

        Raises:
            ValueError: an excluded tensor is in no group any more, and its successor is ambiguous; or a group has not
                as many names as parameters. Nothing has changed then.
        """
        if not any(entry.get("weight_decay", True) for entry in entries):
            return
        if self.patterns:
            _check_names(entries)
        if not self._excluded or self._is_as_seen(entries):
            return
        known = {id(tensor) for seen in self._seen for one in seen.parameters if (tensor := one()) is not None}
        now = {id(parameter) for entry in entries for parameter in entry["params"]}
        excluded = [tensor for tensor in self.tensors if id(tensor) in now]
        for number, seen in enumerate(self._seen):
            lost = [place for place in seen.excluded if id(seen.parameters[place]()) not in now]
            if lost:
                excluded += _successors(lost, seen, self._parameters_now(entries, number), known, now)
        self._set(excluded)
        self.start(entries)

    def falls_back(self, entries: Entries) -> bool:
        """Return whether `follow` raises an error."""
        try:
            self.follow(entries)
        except ValueError:
            return True
        return False

    def _is_as_seen(self, entries: Entries) -> bool:
        return len(entries) == len(self._seen) and all(
            len(entry["params"]) == len(seen.parameters)
            and all(parameter is one() for parameter, one in zip(entry["params"], seen.parameters, strict=True))
            for entry, seen in zip(entries, self._seen, strict=True)
        )

    def _parameters_now(self, entries: Entries, number: int) -> Sequence[Tensor] | None:
        """Return the parameters of the same entry, else of the one in its place if there are as many as before."""
        entry = self._seen[number].entry
        if not any(one is entry for one in entries):
            if len(entries) != len(self._seen):
                return None
            entry = entries[number]
        found: Sequence[Tensor] = entry["params"]
        return found


def _successors(
    lost: Sequence[int], seen: _Seen, parameters: Sequence[Tensor] | None, known: set[int], now: set[int]
) -> list[Tensor]:
    """Return the tensors at the places `lost` of a group; none where excluded tensors were only removed."""
    if parameters is None:
        if now <= known:
            return []
    elif all(id(parameter) in known for parameter in parameters):
        return []
    elif len(parameters) == len(seen.parameters) and all(id(parameters[place]) not in known for place in lost):
        return [parameters[place] for place in lost]
    raise ValueError(
        "a tensor that exclude_from_weight_decay excluded is in no parameter group any more, and which of the new ones "
        f"took its place cannot be told: {_REMEDY}"
    )


def _check_names(entries: Entries) -> None:
    for place, entry in enumerate(entries):
        names, parameters = entry.get("param_names"), entry["params"]
        if names is not None and len(names) != len(parameters):
            raise ValueError(
                f"param_groups[{place}] has {len(parameters)} parameters and {len(names)} param_names, by which "
                "exclude_from_weight_decay(var_names=) excludes some: change both together"
            )


def from_user(entries: Entries, var_list: Iterable[Tensor] | None, var_names: Iterable[str] | None) -> Exclusion:
    """Return what a user excludes; arguments and errors of `exclude_from_weight_decay`."""
    if isinstance(var_list, Tensor):
        raise TypeError("var_list is one tensor: pass a list of tensors, [w]")
    tensors, patterns = list(var_list or ()), compile_patterns(var_names)
    if patterns and "param_names" not in entries[0]:
        names = [pattern.pattern for pattern in patterns]
        raise ValueError(f"var_names={names!r}: the parameters have no names; construct with named_parameters()")
    check_members(entries, tensors)
    excluded_by_name(patterns, [[name] for entry in entries for name in entry.get("param_names", ())])
    exclusion = Exclusion(tensors, patterns)
    exclusion.start(entries)
    return exclusion


def check_members(entries: Entries, var_list: Iterable[Any]) -> None:
    """Raise a ValueError if one of `var_list` is not among the parameters."""
    mine = {id(parameter) for entry in entries for parameter in entry["params"]}
    for tensor in var_list:
        if id(tensor) not in mine:
            shown = f"a tensor of shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else repr(tensor)
            raise ValueError(f"var_list holds {shown}, which is not among the optimizer's parameters")
