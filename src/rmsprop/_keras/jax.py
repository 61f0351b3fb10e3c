"""Steps on Keras's JAX backend, by the engine for JAX arrays."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import keras

from rmsprop._keras.moves import Moves, name_of
from rmsprop._keras.rates import as_function, is_compiled, is_traceable
from rmsprop._options import FLOATS, LearningRate, Options, rate_function
from rmsprop.engines._switch import native_by_default
from rmsprop.engines.jax import engine
from rmsprop.engines.jax._items import Item
from rmsprop.engines.jax._options import ArrayOptions

#: New values of variables, of their state, and of what is collected of gradients.
_New = tuple[list[Any], list[dict[str, Any]], list[Any]]


def untraced(method: Any) -> Any:
    """Let a method be what it is."""
    return method


def making(copied: Any) -> AbstractContextManager[Any]:
    """Make a variable of the state, which may start as a copy of one of the model's."""
    return nullcontext()


def start_of(variable: Any) -> Any:
    """Give the value that an average of a variable starts at."""
    return keras.ops.convert_to_tensor(variable)


def is_variable(value: Any) -> bool:
    """Whether it is a variable of the backend's own: it has none."""
    return False


def is_symbolic(value: Any) -> bool:
    """Whether it is an array without a value, of a function that is being traced."""
    return isinstance(value, jax.core.Tracer)


def rate_at(rate: LearningRate, iterations: Any) -> Any:
    """Give the learning rate of a step by a function or a schedule of ours."""
    steps = iterations.value
    if is_traceable(rate) or not callable(rate):
        return rate(steps) if callable(rate) else rate
    function = rate_function(as_function(rate))

    def call(step: Any) -> Any:
        return jnp.dtype(jnp.float32).type(function(int(step)))

    if not is_symbolic(steps):
        return call(steps)
    # At every step, not once when it is traced: that is what a function is for.
    return jax.pure_callback(call, jnp.zeros((), jnp.float32), steps)


def copy_into(optimizer: Any, variable: Any, average: Any) -> None:
    """Write a variable's average into it, as an array of its own, since a train step may give that away."""
    variable.assign(jnp.array(average.value, variable.dtype, copy=True))


class Stepper:
    """Does an optimizer's steps."""

    def __init__(self) -> None:
        self._compiled: dict[Moves, Callable[..., _New]] = {}

    def step(self, optimizer: Any, moves: Moves, gradients: Sequence[Any]) -> None:
        """Do a step, or add it to what is being traced.

        Args:
            optimizer: the optimizer.
            moves: what moves.
            gradients: of `moves.variables`.
        """
        variables, kept = moves.variables, optimizer._kept(moves)
        given = [_checked(*pair) for pair in zip(gradients, variables, strict=True)]
        values = [variable.value for variable in variables]
        slots = [{name: one.value for name, one in mine.items()} for mine, _ in kept]
        collected = [one.value for one in optimizer._collected(moves)]
        calls, rate = optimizer._iterations.value, optimizer._learning_rate
        traced = any(map(is_symbolic, (*given, *values, calls)))
        # Schedules are computed with the rest, functions called before.
        within = is_traceable(rate) if traced else is_compiled(rate)
        number = None if within else jnp.asarray(optimizer.learning_rate)
        arguments = given, values, slots, collected, number, calls
        step = self._function(optimizer, moves, [decays for _, decays in kept])
        if not traced:
            step = self._compile(optimizer, moves, step)
        new_values, new_slots, new_collected = step(*arguments)
        for variable, value in zip(variables, new_values, strict=True):
            variable.assign(value)
        for (mine, _), new in zip(kept, new_slots, strict=True):
            for name, value in new.items():
                mine[name].assign(value)
        for one, value in zip(optimizer._collected(moves), new_collected, strict=True):
            one.assign(value)
        _constrain(optimizer, variables, values, calls)
        optimizer._iterations.assign(calls + 1)

    def _compile(self, optimizer: Any, moves: Moves, step: Callable[..., _New]) -> Callable[..., _New]:
        if not optimizer._options.jit_compile:
            return step
        if moves not in self._compiled:
            self._compiled[moves] = jax.jit(step)
        return self._compiled[moves]

    def _function(self, optimizer: Any, moves: Moves, decays: Sequence[bool]) -> Callable[..., _New]:
        """Give a step as a function of arrays."""
        options, schedule = _as_array_options(optimizer._options), optimizer._learning_rate
        native = native_by_default() if optimizer._native is None else optimizer._native
        scale, steps = optimizer.loss_scale_factor, optimizer.gradient_accumulation_steps

        def step(gradients: Any, values: Any, slots: Any, collected: Any, number: Any, calls: Any) -> _New:
            rate = schedule(calls) if number is None else number
            if scale is not None:
                gradients = [gradient / scale for gradient in gradients]
            if not steps:
                return (*advance(gradients, values, slots, rate, calls), [])

            def step_all() -> _New:
                means = [(gradient + one) / steps for gradient, one in zip(gradients, collected, strict=True)]
                return *advance(means, values, slots, rate, calls // steps), [jnp.zeros_like(one) for one in collected]

            def add() -> _New:
                sums = [(one + new).astype(one.dtype) for one, new in zip(collected, gradients, strict=True)]
                return values, slots, sums

            new: _New = jax.lax.cond((calls + 1) % steps == 0, step_all, add)
            return new

        def advance(gradients: Any, values: Any, slots: Any, rate: Any, iterations: Any) -> tuple[Any, Any]:
            items = [Item(*one) for one in zip(values, gradients, slots, decays, strict=True)]
            done = engine.step(options, items, rate, iterations, native=native)
            variables = [one["variable"] for one in done]
            return variables, [{name: new[name] for name in mine} for mine, new in zip(slots, done, strict=True)]

        return step


def _as_array_options(options: Options) -> ArrayOptions:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return ArrayOptions(**values | {"learning_rate": 0.0})


def _checked(gradient: Any, variable: Any) -> Any:
    if not isinstance(gradient, jax.Array):
        try:
            gradient = jnp.asarray(keras.ops.convert_to_tensor(gradient))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the gradient of variable {name_of(variable)!r} is no array: {error}") from error
    if gradient.dtype.name not in FLOATS:
        raise TypeError(
            f"the gradient of variable {name_of(variable)!r} has the type {gradient.dtype}: "
            f"{', '.join(FLOATS)} is needed"
        )
    if gradient.shape != tuple(variable.shape):
        raise ValueError(
            f"the gradient of variable {name_of(variable)!r} has the shape {gradient.shape}, not {variable.shape}"
        )
    return gradient


def _constrain(optimizer: Any, variables: Sequence[Any], before: Sequence[Any], calls: Any) -> None:
    steps = optimizer.gradient_accumulation_steps
    for variable, old in zip(variables, before, strict=True):
        if variable.constraint is not None:
            new = variable.constraint(variable.value)
            variable.assign(jnp.where((calls + 1) % steps == 0, new, old) if steps else new)
