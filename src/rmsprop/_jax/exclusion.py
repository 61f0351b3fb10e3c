"""Parameters that weight decay leaves alone: by name, or as arrays, whose names are found once."""

from collections.abc import Iterable
from typing import Any, final

import jax
import jax.numpy as jnp

from rmsprop._core.exclusion import compile_patterns, excluded_by_name
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.trees import Leaves


@final
class Exclusion:
    """The arguments of `exclude_from_weight_decay`, checked.

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
        self._patterns = compile_patterns(var_names)
        self._arrays = list(var_list or ())
        # The arrays' names; None before `find`. A step gets other arrays.
        self._names: set[str] | None = None if self._arrays else set()

    def find(self, params: Any, leaves: Leaves) -> None:
        """Find the names of the arrays, once.

        Raises:
            ValueError: an array is not among the parameters.
        """
        if self._names is not None:
            return
        names: dict[int, list[str]] = {}
        for name, value in zip(leaves.names, jax.tree_util.tree_leaves(params), strict=True):
            names.setdefault(id(value), []).append(name)
        for place, array in enumerate(self._arrays):
            if id(array) not in names:
                raise ValueError(
                    f"var_list[{place}], of shape {jnp.shape(array)}, is not among the parameters: pass arrays that "
                    "init(params) gets, not under jit, or use var_names"
                )
        found = {name for array in self._arrays for name in names[id(array)]}
        # Nothing looks for the arrays any more, which may be freed.
        vars(self).update(_names=found, _arrays=[])

    def check(self, names: list[str]) -> None:
        """Warn of patterns that are found in no parameter's name."""
        excluded_by_name(self._patterns, [[name] for name in names])

    def decayed(self, options: ArrayOptions, names: list[str]) -> list[bool]:
        """Return for each parameter whether weight decay applies.

        Raises:
            ValueError: there are arrays whose names are unknown.
        """
        if not options.decays or not names:
            return [False] * len(names)
        if self._names is None:
            raise ValueError("the arrays of var_list are to be found by name first: call init(params) with them")
        by_name = excluded_by_name(self._patterns, [[name] for name in names], warns=False)
        return [not one and name not in self._names for name, one in zip(names, by_name, strict=True)]
