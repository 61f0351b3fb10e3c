"""Pairs of a gradient and its variable, as `apply_gradients` gets them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def check_pairs(pairs: Sequence[Any]) -> None:
    """Refuse what is no list of pairs, such as a single pair."""
    if {*map(type, pairs)} == {tuple} and {*map(len, pairs)} == {2}:
        return
    for number, one in enumerate(pairs):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise TypeError(
                f"grads_and_vars holds {one!r} at place {number}, which is no pair of a gradient and its variable: "
                "pass zip(gradients, variables)"
            )


def refuse_swapped(
    pairs: Iterable[Any],
    is_swapped: Callable[[Any, Any], bool],
    error: Exception,
    names: tuple[str, str] | None = None,
) -> None:
    """Raise a better error for a refused step if the variable stands first in one of its pairs.

    Args:
        pairs: the pairs of the step.
        is_swapped: whether the first of a pair, and not the second, is a variable.
        error: why the step was refused.
        names: the arguments for gradients and for variables; None: one argument has the pairs.

    Raises:
        TypeError: a pair is swapped.
    """
    for number, (gradient, variable) in enumerate(pairs):
        if is_swapped(gradient, variable):
            if names is not None:
                raise TypeError(
                    f"{names[0]} holds a variable at place {number}, and {names[1]} its gradient: the gradients come "
                    f"first, ({', '.join(names)})"
                ) from error
            raise TypeError(
                f"grads_and_vars holds (variable, gradient) at place {number}: the gradient comes first, as in "
                "zip(gradients, variables)"
            ) from error
