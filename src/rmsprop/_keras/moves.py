"""What a call of the optimizer moves: found out once for each set of variables and gradients that come together."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from rmsprop._core.options import FLOATS
from rmsprop._core.other_words import stepped_by
from rmsprop._keras.backends import backend

#: Sets of variables that are remembered.
KEPT = 64


class Moves:
    """Those variables of a call that have a gradient, in the order in which the optimizer was built for them.

    Attributes:
        places: where their gradients stand in the call's list.
        variables: they.
        numbers: their places among those of `build`.
        kinds: their shapes and types.
        overwritten: variables that become their gradient, as Keras's float8 layers have them, and where it stands.
    """

    def __init__(self, variables: Sequence[Any], numbers: Sequence[int], missing: Sequence[bool]) -> None:
        order = [place for place in sorted(range(len(numbers)), key=numbers.__getitem__) if not missing[place]]
        overwritten = [place for place in order if is_overwritten(variables[place])]
        self.places = [place for place in order if place not in overwritten]
        self.variables = [variables[place] for place in self.places]
        self.numbers = [numbers[place] for place in self.places]
        self.kinds = tuple((tuple(one.shape), str(one.dtype)) for one in self.variables)
        self.overwritten = [(place, variables[place]) for place in overwritten]
        # As long as they are known by their ids, nothing else may have these.
        self._given = variables


class Made(NamedTuple):
    """A variable that a step moves.

    Attributes:
        variable: it.
        decays: whether weight decay applies.
        slots: slot name -> variable; None: they are not made yet.
    """

    variable: Any
    decays: bool
    slots: dict[str, Any] | None


class Known:
    """The sets of variables that came before."""

    def __init__(self) -> None:
        self._moves: dict[Any, Moves] = {}

    def find(self, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> Moves:
        """Tell what moves; what is wrong with variables is said here, and which have no gradient.

        Raises:
            TypeError: something is no variable.
            ValueError: a variable is unknown or given twice, numbers differ, or all gradients are None.
        """
        missing = [gradient is None for gradient in gradients]
        key = (*map(id, variables), *missing)
        moves = self._moves.get(key)
        if moves is None:
            numbers = optimizer._numbers(variables)
            if len(gradients) != len(variables):
                raise ValueError(f"there are {len(gradients)} gradients for {len(variables)} variables")
            _tell_missing(variables, missing)
            if len(self._moves) >= KEPT:
                self._moves.pop(next(iter(self._moves)))
            moves = self._moves[key] = Moves(variables, numbers, missing)
        return moves


def _tell_missing(variables: Sequence[Any], missing: Sequence[bool]) -> None:
    left_out = ", ".join(
        name_of(variable) for variable, is_missing in zip(variables, missing, strict=True) if is_missing
    )
    if all(missing):
        raise ValueError(f"all gradients are None, of the variables {left_out}")
    if left_out:
        warnings.warn(f"No gradients for the variables {left_out}: they stay as they are.", stacklevel=5)


def as_list(argument: str, variables: Any) -> list[Any]:
    """Give variables as a list, and refuse a single one, which Keras would take for a list of its rows.

    Raises:
        TypeError: it is one variable.
    """
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
            raise TypeError(f"{variable!r} is no variable of Keras 3{_advice(variable)}")
        if is_overwritten(variable):
            continue
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if dtype not in FLOATS:
            raise TypeError(f"variable {name_of(variable)!r} has the type {dtype}: {', '.join(FLOATS)} is needed")
    if len({id(variable) for variable in variables}) < len(variables):
        raise ValueError(f"a variable is given twice among {', '.join(map(name_of, variables))}")


def _advice(variable: Any) -> str:
    owner = stepped_by(variable)
    return f" on its {keras.backend.backend()} backend: {owner}" if owner else ""


def is_swapped(gradient: Any, variable: Any) -> bool:
    """Whether the first of a pair is the variable, and the second a gradient."""
    return isinstance(gradient, keras.Variable) and (variable is None or keras.ops.is_tensor(variable))
