"""Variables that weight decay leaves alone, by their names: one search and one warning for every front end."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from rmsprop._core.warnings import warn

#: How many names a warning shows.
_SHOWN: Final = 8


def compile_patterns(var_names: Iterable[str | re.Pattern[str]] | None) -> list[re.Pattern[str]]:
    """Compile the argument `var_names` of `exclude_from_weight_decay`, or raise a TypeError or a ValueError."""
    if isinstance(var_names, str):
        raise TypeError(f"var_names={var_names!r} is one string: pass a list, [{var_names!r}]")
    names = list(var_names or ())
    for name in names:
        if not isinstance(name, str | re.Pattern):
            raise TypeError(f"var_names={names!r} holds {name!r}, which is no string")
    try:
        return [re.compile(name) for name in names]
    except re.error as error:
        raise ValueError(f"var_names={names!r} holds no regular expression: {error}") from error


def excluded_by_name(
    patterns: Iterable[str | re.Pattern[str]], names: Sequence[Sequence[str]], *, warns: bool = True
) -> list[bool]:
    """Return for each variable whether a pattern is found in one of its names.

    Args:
        patterns: regular expressions, searched as by `re.search`.
        names: for each variable, its name, and its path where it has one. A warning shows the first.
        warns: False before variables are built, for `explain()`.

    Warns:
        UserWarning: a pattern is found in no variable's name; one warning for each such pattern.
    """
    excluded = [False] * len(names)
    for pattern in patterns:
        expression = re.compile(pattern)
        found = [any(expression.search(name) for name in mine) for mine in names]
        if warns and not any(found):
            shown = ", ".join(repr(mine[0]) for mine in names[:_SHOWN] if mine)
            more = ", ..." if len(names) > _SHOWN else ""
            warn(
                f"exclude_from_weight_decay: var_names holds {expression.pattern!r}, which is found in no variable's "
                f"name: {shown}{more}"
            )
        excluded = [one or other for one, other in zip(excluded, found, strict=True)]
    return excluded
