"""A step on Keras's JAX backend as a function of arrays: of all variables at once, or of one after another.

One function for all is the fastest, and is compiled for each combination of shapes and types anew. Where steps are
not traced, a few combinations get one; variables of the others are stepped one by one, by functions that are compiled
for each variable's shape and types alone, whatever it comes together with.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.scales import clip_scale
from rmsprop._core.switches import against_native
from rmsprop._core.tables import compute_type
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions

#: New values of variables, of their state, and of what is collected of gradients.
New = tuple[list[Any], list[dict[str, Any]], list[Any]]

#: Combinations of shapes and types for which one function is compiled; each takes about a MiB.
_COMPILED: Final = 8

#: XLA would multiply by the reciprocal of a schedule's length. Where a cycle ends, that is in another one.
_EXACT: Final = {"xla_disable_hlo_passes": "algsimp"}


class Steps:
    """Functions that do an optimizer's steps as its options say now.

    Args:
        optimizer: the optimizer.

    Attributes:
        options: its options.
        off: why the user wants no kernels of ours, "" otherwise.
    """

    def __init__(self, optimizer: Any) -> None:
        self.options, self.off = _as_array_options(optimizer._options), against_native(optimizer._native)
        self._scale, self._steps = optimizer.loss_scale_factor, optimizer.gradient_accumulation_steps
        self._schedule = optimizer._learning_rate
        self._compiled: dict[Any, Callable[..., New]] = {}
        compiles = self.options.jit_compile
        self._rate = jax.jit(lambda calls: self._schedule(calls), compiler_options=_EXACT)
        self._single = cache(lambda decays: jax.jit(self._one(decays)) if compiles else self._one(decays))
        self._sum = jax.jit(self._add) if compiles else self._add
        self._square = jax.jit(self._squares) if compiles else self._squares

    def rate_at(self, calls: Any) -> Any:
        """Give the learning rate that a schedule of Keras's or of ours has."""
        return self._rate(calls)

    def seen(self, kind: Any, decays: Sequence[bool]) -> Callable[..., New]:
        """Give a function for a step whose arrays are there.

        Args:
            kind: shapes and types of all arrays.
            decays: as for `whole`.
        """
        if not self.options.jit_compile:
            return lambda *arguments: self._one_by_one(decays, *arguments)
        found = self._compiled.get((kind, *decays))
        if found is None and len(self._compiled) >= _COMPILED:
            return lambda *arguments: self._one_by_one(decays, *arguments)
        if found is None:
            found = self._compiled[kind, *decays] = jax.jit(self.whole(decays))
        return found

    def whole(self, decays: Sequence[bool]) -> Callable[..., New]:
        """Give a step of all variables as a function of arrays, to trace.

        Args:
            decays: for each variable, whether weight decay applies.
        """
        steps = self._steps

        def step(gradients: Any, values: Any, slots: Any, collected: Any, number: Any, calls: Any) -> New:
            rate = self._schedule(calls) if number is None else number
            gradients = [self._unscaled(gradient) for gradient in gradients]
            if not steps:
                return (*self._advance(decays, gradients, values, slots, rate, calls), [])

            def step_all() -> New:
                means = [(gradient + one) / steps for gradient, one in zip(gradients, collected, strict=True)]
                done = self._advance(decays, means, values, slots, rate, calls // steps)
                return (*done, [jnp.zeros_like(one) for one in collected])

            def add() -> New:
                sums = [(one + new).astype(one.dtype) for one, new in zip(collected, gradients, strict=True)]
                return values, slots, sums

            new: New = jax.lax.cond((calls + 1) % steps == 0, step_all, add)
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
        self, decays: Sequence[bool], gradients: Any, values: Any, slots: Any, collected: Any, number: Any, calls: Any
    ) -> New:
        steps = self._steps
        if steps and (int(calls) + 1) % steps:
            return values, slots, [self._sum(*pair) for pair in zip(gradients, collected, strict=True)]
        sums = collected or [None] * len(gradients)
        scale = self._joint_scale(gradients, sums)
        new_values, new_slots, new_sums = [], [], []
        for decay, gradient, value, mine, one in zip(decays, gradients, values, slots, sums, strict=True):
            new_value, new_slot, new_sum = self._single(decay)(gradient, value, mine, one, scale, number, calls)
            new_values.append(new_value)
            new_slots.append(new_slot)
            new_sums.append(new_sum)
        return new_values, new_slots, new_sums if steps else []

    def _one(self, decays: bool) -> Callable[..., tuple[Any, dict[str, Any], Any]]:
        # The norm of all gradients together is known before.
        options = replace(self.options, global_clipnorm=None)

        def step(gradient: Any, value: Any, slots: Any, one: Any, scale: Any, rate: Any, calls: Any) -> Any:
            gradient = self._mean(gradient, one)
            item = Item(value, gradient, slots, decays)
            if scale is not None:
                compute = compute_type(*(one.dtype for one in item.state().values()))
                item = item._replace(gradient=gradient.astype(compute) * scale.astype(compute))
            iterations = calls // self._steps if self._steps else calls
            new = engine.step(options, [item], rate, iterations, native=not self.off)[0]
            return new["variable"], {name: new[name] for name in slots}, None if one is None else jnp.zeros_like(one)

        return step

    def _add(self, gradient: Any, one: Any) -> Any:
        return (one + self._unscaled(gradient)).astype(one.dtype)

    def _mean(self, gradient: Any, one: Any) -> Any:
        gradient = self._unscaled(gradient)
        return gradient if one is None else (gradient + one) / self._steps

    def _unscaled(self, gradient: Any) -> Any:
        return gradient if self._scale is None else gradient / self._scale

    def _joint_scale(self, gradients: Sequence[Any], sums: Sequence[Any]) -> Any:
        """Give what all gradients are multiplied by, or None."""
        if self.options.global_clipnorm is None:
            return None
        found = [self._square(*pair) for pair in zip(gradients, sums, strict=True)]
        with numpy.errstate(over="ignore", invalid="ignore"):
            squares = numpy.array([float(square) * float(top) ** 2 for top, square in found])
            norm = float(numpy.sqrt(numpy.add.accumulate(squares)[-1]))
        scale = clip_scale(norm, norm, self.options.global_clipnorm, True)
        return numpy.asarray(scale, jnp.result_type(float))

    def _squares(self, gradient: Any, one: Any) -> tuple[Any, Any]:
        """Give the largest number of a gradient, and the sum of the squares of all in units of it."""
        wide = self._mean(gradient, one).astype(jnp.result_type(float))
        top = jnp.max(jnp.abs(wide), initial=0)
        return top, jnp.sum(jnp.square(wide / jnp.where(top == 0, 1, top)))


def _as_array_options(options: Options) -> ArrayOptions:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return ArrayOptions(**values | {"learning_rate": 0.0})
