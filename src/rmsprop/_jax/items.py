"""What a step steps: a variable, its gradient and its state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy

from rmsprop._core import rule
from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse
from rmsprop._core.slots import slot_dtype
from rmsprop._core.tables import compute_type


class Item(NamedTuple):
    """One variable of a step.

    Attributes:
        variable: an array, concrete or traced.
        gradient: an array of its shape, or a `RowSparse` of arrays of JAX's.
        slots: slot name -> array; the names are those of `rmsprop._core.slots.slots`.
        decays: whether weight decay applies.
        name: of the variable, where it is known, for what is said of it.
    """

    variable: jax.Array
    gradient: jax.Array | RowSparse
    slots: Mapping[str, jax.Array]
    decays: bool
    name: str = ""

    @property
    def sparse(self) -> bool:
        """Whether the gradient has few rows."""
        return isinstance(self.gradient, RowSparse)

    def owners(self) -> dict[str, jax.Array]:
        """Give what is kept, in the order of `rmsprop._core.rule.STATE`."""
        kept = {"variable": self.variable, **self.slots}
        return {name: kept[name] for name in rule.STATE if name in kept}


def numpy_slot_dtype(options: Options, variable: jax.Array) -> numpy.dtype[Any]:
    """Give the type in which a variable's state is kept."""
    return slot_dtype(options, numpy.dtype(variable.dtype))


def computed_in(item: Item) -> numpy.dtype[Any]:
    """Give the type in which a variable is stepped."""
    kept = [numpy.dtype(one.dtype) for one in item.owners().values()]
    return compute_type(kept[0], max(kept, key=lambda dtype: dtype.itemsize))
