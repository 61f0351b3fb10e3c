"""The custom calls of a step: which tensors share a launch, and what the call gets and gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy
from jax.ffi import ffi_call

from rmsprop._core.items import Item
from rmsprop._core.scalars import group_numbers, names_on, storage_of
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.handler import ATTRIBUTE, NAME
from rmsprop._jax.plan import NUMBERS, CallPlan, runners

#: Results of a call: XLA takes time with the third power of their number to find memory for those of one call.
_RESULTS: Final = 256


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    """Add calls to what is being traced; arguments and result as for the traced step, gradients are dense."""
    return [new for part in _parts(options, items) for new in _step(options, part, learning_rate, iterations)]


def count_launches(options: ArrayOptions, items: Sequence[Item]) -> int:
    """Count the kernel calls of a step."""
    plans = [_plan(options, part, {}).plan() for part in _parts(options, items)]
    return sum(len(plan.norms) + len(plan.steps) for plan in plans)


def _parts(options: ArrayOptions, items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut the items into those of one call each."""
    size = max(1, _RESULTS // len(items[0].state()))
    if options.global_clipnorm is not None:
        size = len(items)  # one call that knows all gradients
    return [items[first : first + size] for first in range(0, len(items), size)]


def _step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    given = group_numbers(options) | {"learning_rate": learning_rate}
    if isinstance(given["frequency"], jax.Array) or given["frequency"]:
        given["iterations"] = iterations
    numbers = {name: _as_number(number) for name, number in given.items() if isinstance(number, jax.Array)}
    plan = _plan(options, items, given)
    text = plan.text()
    # Kernels are compiled while somebody waits for a compilation, and not on a thread of XLA's.
    runners(text.encode()).compile()
    kept = [item.state()[name] for name in plan.state for item in items]
    results = call(text, [*numbers.values(), *(item.gradient for item in items), *kept], len(kept))
    found: list[dict[str, jax.Array]] = [{} for _ in items]
    for number, result in enumerate(results):
        found[number % len(items)][plan.state[number // len(items)]] = result
    return found


def _plan(options: ArrayOptions, items: Sequence[Item], given: Mapping[str, Any]) -> CallPlan:
    """Say what a call does.

    Args:
        options: the checked arguments.
        items: what it steps.
        given: columns of options, and "iterations": numbers that are known, and arrays.
    """
    arrays = {name: one for name, one in given.items() if isinstance(one, jax.Array)}
    tensors = []
    for item in items:
        storage = storage_of(options, numpy.dtype(item.variable.dtype), numpy.dtype(item.gradient.dtype))
        types = tuple(dtype.name for dtype in storage)
        tensors.append((item.variable.size, types, names_on(options, item.slots, item.decays)))
    return CallPlan(
        numbers=tuple((name, numpy.dtype(_as_number(one).dtype).name) for name, one in arrays.items()),
        known=tuple((name, float(one)) for name, one in given.items() if name not in arrays),
        state=tuple(items[0].state()),
        tensors=tuple(tensors),
        clips=options.clips_by_norm,
    )


def call(plan: str, operands: Sequence[Any], kept: int) -> Sequence[jax.Array]:
    """Add one call to what is being traced.

    Args:
        plan: what it is to do.
        operands: what it gets.
        kept: how many of them, at the end, its results take the place of.
    """
    first = len(operands) - kept
    results: Sequence[jax.Array] = ffi_call(
        NAME,
        [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in operands[first:]],
        input_output_aliases={first + number: number for number in range(kept)},
    )(*operands, **{ATTRIBUTE: plan})
    return results


def _as_number(array: jax.Array) -> jax.Array:
    return array if numpy.dtype(array.dtype).name in NUMBERS else array.astype(jnp.float32)
