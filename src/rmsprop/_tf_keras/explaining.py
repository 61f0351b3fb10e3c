"""What `explain()` of `rmsprop.tf_keras.RMSprop` asks the engine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rmsprop._core.explain import NEEDED, Explanation
from rmsprop._core.options import Options
from rmsprop._core.saving.matching import plain_names
from rmsprop._tensorflow import explaining
from rmsprop._tensorflow.engine import Engine
from rmsprop._tf_keras.pairs import check_variables

if TYPE_CHECKING:
    from rmsprop.tf_keras import RMSprop


def explain(optimizer: "RMSprop", options: Options, var_list: Sequence[Any] | None) -> Explanation:
    """Explain a step; see `rmsprop.tf_keras.RMSprop.explain`."""
    built = getattr(optimizer, "_built", False)
    # Of variables that are gone nothing is known.
    variables = [one for one in optimizer._owners if one is not None] if var_list is None else list(var_list)
    if not variables:
        raise ValueError(NEEDED)
    if built:
        numbers = optimizer._numbers(variables)
        known = optimizer._items([(None, variable) for variable in variables], numbers)
        items = [explaining.item_of(options, one.variable, one.decays, one.slots) for one in known]
    else:
        check_variables(variables)
        decays = [options.decays and optimizer._use_weight_decay(variable) for variable in variables]
        items = [explaining.item_of(options, *pair) for pair in zip(variables, decays, strict=True)]
    return explaining.explain(
        "tf_keras",
        options,
        plain_names([variable.name.removesuffix(":0") for variable in variables]),
        items,
        engine=optimizer._engine or Engine(options, native=optimizer._native),
        compiled=optimizer.jit_compile,
        elsewhere="on a DTensor mesh" if optimizer._has_mesh() else "",
    )
