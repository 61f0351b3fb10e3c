"""Which variables weight decay leaves alone, by their names: one search and one warning for every front end."""

import re
from collections.abc import Iterable, Sequence

from rmsprop._core.warnings import warn

#: How many names a warning shows.
_SHOWN = 8


def excluded_by_name(
    patterns: Iterable[str | re.Pattern[str]], names: Sequence[Sequence[str]], *, warns: bool = True
) -> list[bool]:
    """Tell for each variable whether a pattern is found in one of its names.

    Args:
        patterns: regular expressions, searched as `re.search` does.
        names: for each variable, what it may be called: its name, and its path where it has one. The first is shown.
        warns: False for a question that is asked before variables are built, and says nothing.

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
