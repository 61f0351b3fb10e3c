"""What `explain()` of `rmsprop.keras.RMSprop` asks the engine of the backend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from rmsprop._core.exclusion import excluded_by_name
from rmsprop._core.explain import NEEDED, Explanation
from rmsprop._core.saving.matching import plain_names
from rmsprop._keras.backends import backend
from rmsprop._keras.moves import Made, Moves, as_list, check_variables, is_overwritten, name_of

if TYPE_CHECKING:
    from rmsprop.keras import RMSprop


def explain(optimizer: "RMSprop", var_list: Sequence[Any] | None) -> Explanation:
    """Explain a step; see `rmsprop.keras.RMSprop.explain`."""
    if var_list is None:
        variables = optimizer._trainable_variables if optimizer.built else []
    else:
        variables = as_list("var_list", var_list)
    if not variables:
        raise ValueError(NEEDED)
    made = _built(optimizer, variables) if optimizer.built else _unbuilt(optimizer, variables)
    names = plain_names([name_of(one.variable) for one in made])
    found: Explanation = backend().explain(f"keras on {keras.backend.backend()}", optimizer, names, made)
    return found


def _built(optimizer: "RMSprop", variables: Sequence[Any]) -> list[Made]:
    moves = Moves(variables, optimizer._numbers(variables), [False] * len(variables))
    kept = zip(moves.variables, optimizer._kept(moves), strict=True)
    return [Made(variable, decays, slots) for variable, (slots, decays) in kept]


def _unbuilt(optimizer: "RMSprop", variables: Sequence[Any]) -> list[Made]:
    check_variables(variables)
    stepped = [variable for variable in variables if not is_overwritten(variable)]
    names = [(name_of(variable), str(variable.name)) for variable in stepped]
    by_name = excluded_by_name(optimizer._excluded_names, names, warns=False)
    decays = optimizer._options.decays
    return [
        Made(variable, decays and not excluded and optimizer._use_weight_decay(variable), None)
        for variable, excluded in zip(stepped, by_name, strict=True)
    ]
