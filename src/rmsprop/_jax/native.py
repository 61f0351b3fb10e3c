"""A step by our kernels: custom calls, in the memory of variables and state where XLA allows that.

The results of a call are in the memory of its last arguments. Under `jax.jit` with donated variables and state XLA
passes their memory to the call; where a program may still read the old values, XLA copies them first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy
from jax.ffi import ffi_call

from rmsprop._core.items import Item
from rmsprop._core.scalars import group_numbers, names_on, storage_of
from rmsprop._jax import operation
from rmsprop._jax import traced as _traced
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.handler import ATTRIBUTE, NAME, steps
from rmsprop._jax.plan import NUMBERS, CallPlan
from rmsprop._jax.rows import to_dense
from rmsprop._jax.traced import Stepped

#: Options that no step needs.
_APART: Final = ("learning_rate", "initial_velocity", "jit_compile", "name")

#: Results of a call: XLA's time to find memory for the results of one call grows with the third power of their number.
_RESULTS: Final = 256


def step(options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any) -> Stepped:
    """Step variables, or add the step to what is being traced; see `rmsprop._jax.engine.step`."""
    fixed = {name: value for name, value in vars(options).items() if name not in _APART}
    numbers = {name: fixed.pop(name) for name, value in [*fixed.items()] if isinstance(value, jax.Array)}
    gradients, values = [to_dense(item.gradient) for item in items], [[*item.state().values()] for item in items]
    operands, tree = jax.tree.flatten((jnp.asarray(learning_rate), jnp.asarray(iterations), numbers, gradients, values))
    state = tuple(items[0].state())
    meaning = _Step(tuple(fixed.items()), state, tuple(item.decays for item in items), tree)
    results = iter(operation.bind(operands, meaning))
    return [{name: next(results) for name in state} for _ in items]


@final
class _Step(NamedTuple):
    """A step as a function of arrays: see `rmsprop._jax.operation.Meaning`.

    Attributes:
        fixed: names and values of the options that are no arrays.
        state: the names of `rmsprop._core.rule.STATE` that are on.
        decays: for each variable, whether weight decay applies.
        tree: structure of the operands: learning rate, iterations, options that are arrays, gradients, and the state
            of each variable.
    """

    fixed: tuple[tuple[str, Any], ...]
    state: tuple[str, ...]
    decays: tuple[bool, ...]
    tree: Any

    @property
    def replaced(self) -> int:
        """Number of operands at the end in whose memory the results are."""
        return len(self.state) * len(self.decays)

    def traced(self, *operands: Any) -> list[jax.Array]:
        """Return the results by operations of JAX."""
        return self._step(_traced.step, operands)

    def native(self, *operands: Any) -> list[jax.Array]:
        """Return the results by custom calls."""
        return self._step(_call_all, operands)

    def _step(self, function: Callable[..., Stepped], operands: Sequence[Any]) -> list[jax.Array]:
        learning_rate, iterations, numbers, gradients, values = jax.tree.unflatten(self.tree, operands)
        items = [
            Item(variable, gradient, dict(zip(self.state[1:], slots, strict=True)), decays)
            for (variable, *slots), gradient, decays in zip(values, gradients, self.decays, strict=True)
        ]
        # Without a second check. The options that no step needs have their defaults, which are attributes of the class.
        options = object.__new__(ArrayOptions)
        vars(options).update(self.fixed, **numbers)
        return [new[name] for new in function(options, items, learning_rate, iterations) for name in self.state]


def count_launches(options: ArrayOptions, items: Sequence[Item]) -> int:
    """Return the number of kernel calls of a step."""
    plans = [_plan(options, part, {}).plan() for part in _parts(options, items)]
    return sum(len(plan.norms) + len(plan.steps) for plan in plans)


def _call_all(options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any) -> Stepped:
    """Add the calls of a step to what is being traced; gradients are dense."""
    numbers = group_numbers(options) | {"learning_rate": learning_rate}
    if isinstance(numbers["frequency"], jax.Array) or numbers["frequency"]:
        numbers["iterations"] = iterations
    return [new for part in _parts(options, items) for new in _call(options, part, numbers)]


def _parts(options: ArrayOptions, items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut the items into those of one call each."""
    size = max(1, _RESULTS // len(items[0].state()))
    if options.global_clipnorm is not None:
        size = len(items)  # one call that knows all gradients
    return [items[first : first + size] for first in range(0, len(items), size)]


def _call(options: ArrayOptions, items: Sequence[Item], numbers: Mapping[str, Any]) -> Stepped:
    plan = _plan(options, items, numbers)
    text = plan.text()
    # Kernels are compiled while the user waits for a compilation, and not on a thread of XLA.
    steps().add(text)
    arrays = [_as_number(number) for number in numbers.values() if isinstance(number, jax.Array)]
    state = [item.state()[name] for name in plan.state for item in items]
    results = call(text, [*arrays, *(item.gradient for item in items), *state], len(state))
    return [dict(zip(plan.state, results[place :: len(items)], strict=True)) for place in range(len(items))]


def _plan(options: ArrayOptions, items: Sequence[Item], numbers: Mapping[str, Any]) -> CallPlan:
    """Plan one call; `numbers` are columns of options and "iterations", of which some are arrays."""
    arrays = {name: _as_number(one) for name, one in numbers.items() if isinstance(one, jax.Array)}
    tensors = []
    for item in items:
        storage = storage_of(options, numpy.dtype(item.variable.dtype), numpy.dtype(item.gradient.dtype))
        types = tuple(dtype.name for dtype in storage)
        tensors.append((item.variable.size, types, names_on(options, item.slots, item.decays)))
    return CallPlan(
        numbers=tuple((name, numpy.dtype(one.dtype).name) for name, one in arrays.items()),
        known=tuple((name, float(one)) for name, one in numbers.items() if name not in arrays),
        state=tuple(items[0].state()),
        tensors=tuple(tensors),
        clips=options.clips_by_norm,
    )


def _as_number(array: jax.Array) -> jax.Array:
    """Return an array without axes in a type that a call can read."""
    return array if numpy.dtype(array.dtype).name in NUMBERS else array.astype(jnp.float32)


def call(plan: str, operands: Sequence[Any], replaced: int) -> Sequence[jax.Array]:
    """Add one call to what is being traced, whose results are in the memory of the last operands, `replaced` many."""
    first = len(operands) - replaced
    results: Sequence[jax.Array] = ffi_call(
        NAME,
        [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in operands[first:]],
        input_output_aliases={first + number: number for number in range(replaced)},
    )(*operands, **{ATTRIBUTE: plan})
    return results
