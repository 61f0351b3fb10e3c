"""The custom calls of a step: which tensors share a launch, and what the call gets and gives."""

from collections.abc import Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy
from jax.ffi import ffi_call

from rmsprop._core.scalars import changing, constants, storage_of
from rmsprop._core.tables import Storage
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.handler import ATTRIBUTE, NAME
from rmsprop._jax.items import Item
from rmsprop._jax.plan import NUMBERS, Bucket, Plan, by_gradient, runners

#: Results of a call: XLA takes time with the third power of their number to find memory for those of one call.
_RESULTS: Final = 256


def step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    """Add calls to what is being traced; arguments and result as for the traced step, gradients are dense."""
    return [new for part in _parts(options, items) for new in _step(options, part, learning_rate, iterations)]


def count_launches(options: ArrayOptions, items: Sequence[Item]) -> int:
    """Count the kernel calls of a step."""
    each = [_buckets(options, part)[0] for part in _parts(options, items)]
    return sum(len(buckets) + (len(by_gradient(buckets)) if options.clips_by_norm else 0) for buckets in each)


def _parts(options: ArrayOptions, items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut the items into those of one call each."""
    size = max(1, _RESULTS // len(items[0].owners()))
    if options.global_clipnorm is not None:
        size = len(items)  # one call that knows all gradients
    return [items[first : first + size] for first in range(0, len(items), size)]


def _step(
    options: ArrayOptions, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> list[dict[str, jax.Array]]:
    state = list(items[0].owners())
    buckets, arrays = _buckets(options, items)
    given = arrays | _changing(options, learning_rate, iterations)
    numbers = {name: _as_number(number) for name, number in given.items() if isinstance(number, jax.Array)}
    kinds = [(name, numpy.dtype(number.dtype).name) for name, number in numbers.items()]
    known = [(name, number) for name, number in given.items() if name not in numbers]
    text = Plan(tuple(kinds), tuple(known), tuple(state), buckets).text()
    # Kernels are compiled while somebody waits for a compilation, and not on a thread of XLA's.
    runners(text.encode()).compile()
    places = [place for bucket in buckets for place in bucket.places]
    kept = [items[place].owners()[name] for name in state for place in places]
    operands = [*numbers.values(), *(items[place].gradient for place in places), *kept]
    results = call(text, operands, len(kept))
    found: list[dict[str, jax.Array]] = [{} for _ in items]
    for number, result in enumerate(results):
        found[places[number % len(places)]][state[number // len(places)]] = result
    return found


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


def _changing(options: ArrayOptions, learning_rate: Any, iterations: Any) -> dict[str, Any]:
    """Give what the scalars that change from step to step are, or are found from."""
    found = {"learning_rate": learning_rate}
    for limit in ("clipnorm", "global_clipnorm"):
        if getattr(options, limit) is not None:
            found[limit] = getattr(options, limit)
    if options.use_ema and options.ema_overwrite_frequency is not None:
        found |= {"ema_overwrite_frequency": options.ema_overwrite_frequency, "iterations": iterations}
    return found


def _as_number(array: jax.Array) -> jax.Array:
    return array if numpy.dtype(array.dtype).name in NUMBERS else array.astype(jnp.float32)


def _buckets(options: ArrayOptions, items: Sequence[Item]) -> tuple[tuple[Bucket, ...], dict[str, Any]]:
    """Sort the items by what one launch serves; give the constants that are arrays besides."""
    kinds: dict[tuple[Storage, bool], list[int]] = {}
    for place, item in enumerate(items):
        storage = storage_of(options, numpy.dtype(item.variable.dtype), numpy.dtype(item.gradient.dtype))
        kinds.setdefault((storage, item.decays), []).append(place)
    buckets: list[Bucket] = []
    arrays: dict[str, Any] = {}
    for (storage, decays), places in kinds.items():
        known = constants(options, decays)
        given = {name: known.pop(name) for name in list(known) if isinstance(known[name], jax.Array)}
        arrays |= given
        buckets.append(
            Bucket(
                storage=tuple(dtype.name for dtype in storage),
                sizes=tuple(items[place].variable.size for place in places),
                places=tuple(places),
                constants=tuple(known.items()),
                changing=(*given, *changing(options)),
            )
        )
    return tuple(buckets), arrays
