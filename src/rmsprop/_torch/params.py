"""Checks of the argument `params` that name what was meant; all other checks are torch's own."""

from collections.abc import Iterable
from numbers import Real
from typing import Any, Final

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from rmsprop._core.other_words import stepped_by
from rmsprop._core.rates import is_schedule

#: The beginning of an error about `params` itself, not about what is in it.
_ALONE: Final = "params is"


def check_params(params: Any) -> None:
    """Raise a TypeError for a learning rate, a model, an optimizer, an array of another library, or a list with one."""
    if isinstance(params, Real) or is_schedule(params):
        raise TypeError(
            f"params={params!r} is a learning rate: parameters come first, RMSprop(model.parameters(), {params!r})"
        )
    if isinstance(params, Optimizer):
        raise TypeError(
            f"params is an optimizer, a {type(params).__name__}: RMSprop.from_optimizer(other) goes on where it is"
        )
    _refuse(_ALONE, [params])
    if isinstance(params, list | tuple):
        _refuse("params holds", params)


def _refuse(what: str, values: Iterable[Any]) -> None:
    for one in values:
        if isinstance(one, Tensor):
            continue
        kind = type(one).__name__
        if isinstance(one, Module):
            if what == _ALONE and _is_list_of_tensors(one):
                continue
            raise TypeError(f"{what} a model, a {kind}: pass its parameters, RMSprop(model.parameters())")
        if owner := stepped_by(one, here="torch"):
            raise TypeError(f"{what} a {kind}, not a tensor of torch's: {owner}")


def _is_list_of_tensors(module: Any) -> bool:
    """Return whether torch accepts a module as it is, like a `ParameterList`; others iterate modules or names."""
    try:
        held = list(module)
    except TypeError:
        return False
    return not any(isinstance(one, Module | str) for one in held)
