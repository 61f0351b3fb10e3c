"""Which parameters weight decay leaves alone: by name, or as arrays, which are found by name once."""

import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.exclusion import excluded_by_name
from rmsprop._jax.trees import Leaves


class Exclusion:
    """What `exclude_from_weight_decay` was told.

    Args:
        var_list: arrays.
        var_names: regular expressions, searched in the names.

    Raises:
        TypeError: `var_list` is one array, or `var_names` one string.
        ValueError: a name is not a regular expression.
    """

    def __init__(self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None) -> None:
        if hasattr(var_list, "dtype"):
            raise TypeError("var_list is one array: pass a list of arrays, [w]")
        if isinstance(var_names, str):
            raise TypeError(f"var_names={var_names!r} is one string: pass a list, [{var_names!r}]")
        try:
            self._patterns = [re.compile(name) for name in var_names or ()]
        except re.error as error:
            raise ValueError(f"var_names={var_names!r} holds no regular expression: {error}") from error
        self._arrays = list(var_list or ())
        # The arrays' names, once they are known: a step gets other arrays.
        self._names: set[str] | None = None if self._arrays else set()

    def find(self, params: Any, leaves: Leaves) -> None:
        """Learn the names of the arrays.

        Raises:
            ValueError: one is not among the parameters.
        """
        if self._names is not None:
            return
        given = jax.tree_util.tree_leaves(params)
        names: dict[int, list[str]] = {}
        for name, value in zip(leaves.names, given, strict=True):
            names.setdefault(id(value), []).append(name)
        for place, array in enumerate(self._arrays):
            if id(array) not in names:
                raise ValueError(
                    f"var_list[{place}], of shape {jnp.shape(array)}, is not among the parameters: pass arrays that "
                    "init(params) gets, not under jit, or use var_names"
                )
        found = {name for array in self._arrays for name in names[id(array)]}
        # The arrays are no longer looked for, and may be freed.
        vars(self).update(_names=found, _arrays=[])

    def check(self, leaves: Leaves) -> None:
        """Warn of patterns that are found in no parameter's name."""
        excluded_by_name(self._patterns, [[name] for name in leaves.names])

    def spares(self, name: str) -> bool:
        """Whether a parameter is left alone.

        Raises:
            ValueError: there are arrays whose names are not known.
        """
        if self._names is None:
            raise ValueError("the arrays of var_list are to be found by name first: call init(params) with them")
        return name in self._names or any(pattern.search(name) for pattern in self._patterns)
