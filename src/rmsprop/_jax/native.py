"""A step by our kernels: one custom call for all tensors, in the memory of variables and state where XLA gives it.

XLA is told that results take the place of arguments. Under `jax.jit` with donated variables and state it hands over
their memory; where somebody may still read the old values, it copies them first.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp

from rmsprop._core.items import Item
from rmsprop._jax import call, operation
from rmsprop._jax import traced as _traced
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.row_gradients import to_dense

#: Options that no step asks for.
_APART: Final = ("learning_rate", "initial_velocity", "jit_compile", "name")


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    """Do a step, or add it to what is being traced; arguments and result as for the traced one."""
    fixed, numbers = _part(options)
    state = tuple(items[0].state())
    meaning = _Step(fixed, tuple(numbers), state, tuple(item.decays for item in items))
    operands = [
        jnp.asarray(learning_rate),
        jnp.asarray(iterations),
        *numbers.values(),
        *(to_dense(item.gradient) for item in items),
    ]
    operands += [item.state()[name] for name in state for item in items]
    results = operation.bind(operands, meaning)
    return [dict(zip(state, results[place :: len(items)], strict=True)) for place in range(len(items))]


class _Step(NamedTuple):
    """A step as a function of arrays.

    Its operands are learning rate, iterations, those options that are arrays, all gradients, all variables, and each
    kind of their state; its results are new ones of the last two.

    Attributes:
        fixed: option -> value, for those that are no arrays.
        numbers: the options that are.
        state: those of `rmsprop._core.rule.STATE` that are on.
        decays: for each variable, whether weight decay applies.
    """

    fixed: tuple[tuple[str, Any], ...]
    numbers: tuple[str, ...]
    state: tuple[str, ...]
    decays: tuple[bool, ...]

    @property
    def kept(self) -> int:
        """How many operands at the end are what the results take the place of."""
        return len(self.state) * len(self.decays)

    def traced(self, *operands: Any) -> list[jax.Array]:
        """Give the results by operations of JAX's."""
        new = _traced.step(*self._arguments(operands))
        return [one[name] for name in self.state for one in new]

    def native(self, *operands: Any) -> list[jax.Array]:
        """Give the results by a custom call."""
        new = call.step(*self._arguments(operands))
        return [one[name] for name in self.state for one in new]

    def _arguments(self, operands: Sequence[Any]) -> tuple[ArrayOptions, list[Item], Any, Any]:
        learning_rate, iterations, *others = operands
        numbers = dict(zip(self.numbers, others, strict=False))
        count, others = len(self.decays), others[len(numbers) :]
        gradients, *kept = (others[row * count : (row + 1) * count] for row in range(1 + len(self.state)))
        items = []
        for gradient, decays, *owners in zip(gradients, self.decays, *kept, strict=True):
            slots = dict(zip(self.state, owners, strict=True))
            items.append(Item(slots.pop("variable"), gradient, slots, decays))
        return _join(self.fixed, numbers), items, learning_rate, iterations


def _part(options: ArrayOptions) -> tuple[tuple[tuple[str, Any], ...], dict[str, Any]]:
    """Part options that are arrays from the others, which can be compared."""
    values = {field.name: getattr(options, field.name) for field in fields(options) if field.name not in _APART}
    numbers = {name: values.pop(name) for name in options.arrays if name in values}
    return tuple(values.items()), numbers


def _join(fixed: Sequence[tuple[str, Any]], numbers: dict[str, Any]) -> ArrayOptions:
    options = ArrayOptions()
    for name, value in (*fixed, *numbers.items()):
        # As they are: they were checked when they were given.
        object.__setattr__(options, name, value)
    return options
