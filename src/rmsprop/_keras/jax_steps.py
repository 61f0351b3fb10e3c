"""A step on Keras's JAX backend as a function of arrays: of all variables at once, or of one after another.

One function for all is the fastest, and is compiled for each combination of shapes and types anew. Where steps are
not traced, a few combinations get one; variables of the others are stepped one by one, by functions that are compiled
for each variable's shape and types alone, whatever the others are.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, Final, final

import jax
import jax.numpy as jnp
import numpy

from rmsprop._core.items import Item
from rmsprop._core.scales import clip_scale
from rmsprop._core.switches import against_native
from rmsprop._core.tables import compute_type
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._keras.steps import Settings, choose

#: New values of variables, of their state, and of what is collected of gradients.
New = tuple[list[Any], list[dict[str, Any]], list[Any]]

#: Combinations of shapes and types for which one function is compiled; each needs about a MiB.
_COMPILED: Final = 8

#: XLA would multiply by the reciprocal of a schedule's length. Where a cycle ends, that is in another one.
_EXACT: Final = {"xla_disable_hlo_passes": "algsimp"}


@final
class Functions:
    """Functions that do an optimizer's steps with its present settings.

    Attributes:
        options: the arguments.
        off: why the user wants no kernels of ours, "" otherwise.
    """

    def __init__(self, settings: Settings) -> None:
        options = {field.name: getattr(settings.options, field.name) for field in fields(settings.options)}
        self.options, self.off = ArrayOptions(**options | {"learning_rate": 0.0}), against_native(settings.native)
        self._scale, self._accumulation = settings.scale, settings.accumulation
        self._compiled: dict[Any, Callable[..., New]] = {}
        #: The learning rate of a schedule of Keras's or of ours, of the number of calls.
        self.rate_at = jax.jit(lambda calls: settings.rate(calls), compiler_options=_EXACT)
        compiled: Callable[..., Any] = jax.jit if self.options.jit_compile else lambda function: function
        # The norm of all gradients together is known before.
        alone = replace(self.options, global_clipnorm=None)
        self._single = cache(lambda decays: compiled(self.whole([decays], alone)))
        self._square = compiled(self._squares)

    def seen(self, kind: Any, decays: Sequence[bool]) -> Callable[..., New]:
        """Return a function for a step whose arrays are there; `kind` is the shapes and types of all of them."""
        found = self._compiled.get((kind, *decays))
        if found is None and (not self.options.jit_compile or len(self._compiled) >= _COMPILED):
            return lambda *arguments: self._one_by_one(decays, *arguments)
        if found is None:
            found = self._compiled[kind, *decays] = jax.jit(self.whole(decays, self.options))
        return found

    def whole(self, decays: Sequence[bool], options: ArrayOptions) -> Callable[..., New]:
        """Return a step of variables as a function of arrays; `decays` says for each whether weight decay applies."""

        def step(
            gradients: Any, values: Any, slots: Any, collected: Any, rate: Any, calls: Any, clip: Any = None
        ) -> New:
            gradients = [self._unscaled(gradient) for gradient in gradients]
            sums = [gradient + one for gradient, one in zip(gradients, collected, strict=True)] if collected else []

            def advance(iterations: Any) -> New:
                means = [self._accumulation.mean(total) for total in sums or gradients]
                items = [Item(*one) for one in zip(values, means, slots, decays, strict=True)]
                items = [item if clip is None else _scaled(item, clip) for item in items]
                done = engine.step(options, items, rate, iterations, native=not self.off)
                new_slots = [{name: new[name] for name in mine} for mine, new in zip(slots, done, strict=True)]
                return [one["variable"] for one in done], new_slots, [jnp.zeros_like(one) for one in collected]

            def collect() -> New:
                return values, slots, [total.astype(one.dtype) for total, one in zip(sums, collected, strict=True)]

            is_traced = isinstance(calls, jax.core.Tracer)
            new: New = self._accumulation.advance(calls, advance, collect, jax.lax.cond if is_traced else choose)
            return new

        return step

    def _one_by_one(
        self, decays: Sequence[bool], gradients: Any, values: Any, slots: Any, collected: Any, rate: Any, calls: Any
    ) -> New:
        clip = None
        limit = self.options.global_clipnorm
        if limit is not None:
            is_step = not collected or self._accumulation.is_step(int(calls))
            norm = self._joint_norm(gradients, collected) if is_step else 0.0
            clip = numpy.asarray(clip_scale(norm, norm, limit, True), jnp.result_type(float))
        done = [
            self._single(decay)([gradient], [value], [mine], collected[place : place + 1], rate, calls, clip)
            for place, (decay, gradient, value, mine) in enumerate(zip(decays, gradients, values, slots, strict=True))
        ]
        return (
            [new for (new,), _, _ in done],
            [new for _, (new,), _ in done],
            [new for *_, sums in done for new in sums],
        )

    def _unscaled(self, gradient: Any) -> Any:
        return gradient if self._scale is None else gradient / self._scale

    def _joint_norm(self, gradients: Sequence[Any], collected: Sequence[Any]) -> float:
        found = [self._square(*pair) for pair in zip(gradients, collected or [None] * len(gradients), strict=True)]
        with numpy.errstate(over="ignore", invalid="ignore"):
            squares = numpy.array([float(square) * float(top) ** 2 for top, square in found])
            return float(numpy.sqrt(numpy.add.accumulate(squares)[-1]))

    def _squares(self, gradient: Any, one: Any) -> tuple[Any, Any]:
        """Return the largest number of a gradient, and the sum of the squares of all in units of it."""
        gradient = self._unscaled(gradient)
        wide = self._accumulation.mean(gradient if one is None else gradient + one).astype(jnp.result_type(float))
        top = jnp.max(jnp.abs(wide), initial=0)
        return top, jnp.sum(jnp.square(wide / jnp.where(top == 0, 1, top)))


def _scaled(item: Item, scale: Any) -> Item:
    compute, gradient = compute_type(*(one.dtype for one in item.state().values())), jnp.asarray(item.gradient)
    return item._replace(gradient=gradient.astype(compute) * scale.astype(compute))
