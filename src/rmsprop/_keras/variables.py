"""The variables of Keras that a step moves: which there can be, their names, and what users confuse."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from rmsprop._core.checks import FLOATS
from rmsprop._core.other_words import stepped_by
from rmsprop._keras.backends import backend


def as_list(argument: str, variables: Any) -> list[Any]:
    """Return variables as a list; TypeError for a single one, which Keras would read as a list of its rows."""
    if hasattr(variables, "assign"):
        raise TypeError(f"{argument}={name_of(variables)!r} is one variable: pass a list")
    return list(variables)


def name_of(variable: Any) -> str:
    """Name a variable, for error texts."""
    return str(getattr(variable, "path", None) or getattr(variable, "name", None) or repr(variable))


def is_overwritten(variable: Any) -> bool:
    """Whether a variable becomes its gradient, whatever the optimizer."""
    return bool(getattr(variable, "overwrite_with_gradient", False))


def check_variables(variables: Sequence[Any]) -> None:
    """Refuse what cannot be stepped."""
    for variable in variables:
        if not isinstance(variable, keras.Variable) and not backend().is_variable(variable):
            owner = stepped_by(variable)
            advice = f" on its {keras.backend.backend()} backend: {owner}" if owner else ""
            raise TypeError(f"{variable!r} is no variable of Keras 3{advice}")
        if is_overwritten(variable):
            continue
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if dtype not in FLOATS:
            raise TypeError(f"variable {name_of(variable)!r} has the type {dtype}: {', '.join(FLOATS)} is needed")
    if len({id(variable) for variable in variables}) < len(variables):
        raise ValueError(f"a variable is given twice among {', '.join(map(name_of, variables))}")


def as_tensor(gradient: Any, variable: Any, kind: str, convert: Callable[[Any], Any]) -> Any:
    """Return a variable's gradient as a tensor of the backend, where tensors are called `kind`."""
    try:
        return convert(keras.ops.convert_to_tensor(gradient))
    except (TypeError, ValueError) as error:
        raise type(error)(f"the gradient of variable {name_of(variable)!r} is no {kind}: {error}") from error


def is_swapped(gradient: Any, variable: Any) -> bool:
    """Whether the first of a pair is the variable, and the second a gradient."""
    return isinstance(gradient, keras.Variable) and (variable is None or keras.ops.is_tensor(variable))
