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

from rmsprop._core.options import Options
from rmsprop._core.scales import clip_scale
from rmsprop._core.switches import against_native
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.items import Item, computed_in
from rmsprop._keras.steps import Settings

#: New values of variables, of their state, and of what is collected of gradients.
New = tuple[list[Any], list[dict[str, Any]], list[Any]]

#: Combinations of shapes and types for which one function is compiled; each takes about a MiB.
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
        self.options, self.off = _as_array_options(settings.options), against_native(settings.native)
        self._scale, self._accumulation = settings.scale, settings.accumulation
        self._compiled: dict[Any, Callable[..., New]] = {}
        compiles = self.options.jit_compile
        #: The learning rate of a schedule of Keras's or of ours, of the number of calls.
        self.rate_at = jax.jit(lambda calls: settings.rate(calls), compiler_options=_EXACT)
        self._single = cache(lambda decays: jax.jit(self._one(decays)) if compiles else self._one(decays))
        self._sum = jax.jit(self._add) if compiles else self._add
        self._square = jax.jit(self._squares) if compiles else self._squares

    def seen(self, kind: Any, decays: Sequence[bool]) -> Callable[..., New]:
        """Return a function for a step whose arrays are there.

        Args:
            kind: shapes and types of all arrays.
            decays: as for `whole`.
        """
        found = self._compiled.get((kind, *decays))
        if found is None and (not self.options.jit_compile or len(self._compiled) >= _COMPILED):
            return lambda *arguments: self._one_by_one(decays, *arguments)
        if found is None:
            found = self._compiled[kind, *decays] = jax.jit(self.whole(decays))
        return found

    def whole(self, decays: Sequence[bool]) -> Callable[..., New]:
        """Return a step of all variables as a function of arrays, to trace.

        Args:
            decays: for each variable, whether weight decay applies.
        """

        def step(gradients: Any, values: Any, slots: Any, collected: Any, rate: Any, calls: Any) -> New:
            gradients = [self._unscaled(gradient) for gradient in gradients]

            def advance(gradients: Any, iterations: Any) -> New:
                done = self._advance(decays, gradients, values, slots, rate, iterations)
                return (*done, [jnp.zeros_like(one) for one in collected])

            if not collected:
                return advance(gradients, calls)
            new: New = self._accumulation.advance(
                calls,
                sums=lambda: [gradient + one for gradient, one in zip(gradients, collected, strict=True)],
                step=advance,
                collect=lambda sums: (
                    values, slots, [total.astype(one.dtype) for total, one in zip(sums, collected, strict=True)]
                ),
                cond=jax.lax.cond,
            )  # fmt: skip
            return new

        return step

    def _advance(
        self, decays: Sequence[bool], gradients: Any, values: Any, slots: Any, rate: Any, iterations: Any
    ) -> tuple[list[Any], list[dict[str, Any]]]:
        items = [Item(*one) for one in zip(values, gradients, slots, decays, strict=True)]
        done = engine.step(self.options, items, rate, iterations, native=not self.off)
        variables = [one["variable"] for one in done]
        return variables, [{name: new[name] for name in mine} for mine, new in zip(slots, done, strict=True)]

    def _one_by_one(
        self, decays: Sequence[bool], gradients: Any, values: Any, slots: Any, collected: Any, rate: Any, calls: Any
    ) -> New:
        if collected and not self._accumulation.is_step(int(calls)):
            return values, slots, [self._sum(*pair) for pair in zip(gradients, collected, strict=True)]
        sums = collected or [None] * len(gradients)
        scale = self._joint_scale(gradients, sums)
        new_values, new_slots, new_sums = [], [], []
        for decay, gradient, value, mine, one in zip(decays, gradients, values, slots, sums, strict=True):
            new_value, new_slot, new_sum = self._single(decay)(gradient, value, mine, one, scale, rate, calls)
            new_values.append(new_value)
            new_slots.append(new_slot)
            new_sums.append(new_sum)
        return new_values, new_slots, new_sums if collected else []

    def _one(self, decays: bool) -> Callable[..., tuple[Any, dict[str, Any], Any]]:
        # The norm of all gradients together is known before.
        options = replace(self.options, global_clipnorm=None)

        def step(gradient: Any, value: Any, slots: Any, one: Any, scale: Any, rate: Any, calls: Any) -> Any:
            gradient = self._mean(gradient, one)
            item = Item(value, gradient, slots, decays)
            if scale is not None:
                compute = computed_in(item)
                item = item._replace(gradient=gradient.astype(compute) * scale.astype(compute))
            iterations = self._accumulation.iterations(calls)
            new = engine.step(options, [item], rate, iterations, native=not self.off)[0]
            return new["variable"], {name: new[name] for name in slots}, None if one is None else jnp.zeros_like(one)

        return step

    def _add(self, gradient: Any, one: Any) -> Any:
        return (one + self._unscaled(gradient)).astype(one.dtype)

    def _mean(self, gradient: Any, one: Any) -> Any:
        gradient = self._unscaled(gradient)
        return gradient if one is None else self._accumulation.means([gradient + one])[0]

    def _unscaled(self, gradient: Any) -> Any:
        return gradient if self._scale is None else gradient / self._scale

    def _joint_scale(self, gradients: Sequence[Any], sums: Sequence[Any]) -> Any:
        """Return what all gradients are multiplied by, or None."""
        if self.options.global_clipnorm is None:
            return None
        found = [self._square(*pair) for pair in zip(gradients, sums, strict=True)]
        with numpy.errstate(over="ignore", invalid="ignore"):
            squares = numpy.array([float(square) * float(top) ** 2 for top, square in found])
            norm = float(numpy.sqrt(numpy.add.accumulate(squares)[-1]))
        scale = clip_scale(norm, norm, self.options.global_clipnorm, True)
        return numpy.asarray(scale, jnp.result_type(float))

    def _squares(self, gradient: Any, one: Any) -> tuple[Any, Any]:
        """Return the largest number of a gradient, and the sum of the squares of all in units of it."""
        wide = self._mean(gradient, one).astype(jnp.result_type(float))
        top = jnp.max(jnp.abs(wide), initial=0)
        return top, jnp.sum(jnp.square(wide / jnp.where(top == 0, 1, top)))


def _as_array_options(options: Options) -> ArrayOptions:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return ArrayOptions(**values | {"learning_rate": 0.0})
