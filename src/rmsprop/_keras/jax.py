"""Steps on Keras's JAX backend, by the engine for JAX arrays."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import jax
import jax.numpy as jnp
import keras
import numpy

from rmsprop._core import versions
from rmsprop._core.explain import Explanation
from rmsprop._core.options import FLOATS, LearningRate, _number, rate_function
from rmsprop._core.rows import RowSparse
from rmsprop._jax import explaining
from rmsprop._keras.jax_steps import Steps
from rmsprop._keras.moves import Made, Moves, name_of
from rmsprop._keras.rates import as_function, is_compiled, is_traceable
from rmsprop._keras.scopes import in_stateless_scope

_BCOO: Final = versions.lookup("rmsprop.keras on jax", "jax", "jax.experimental.sparse", "BCOO")
_JAXSparse: Final = versions.lookup("rmsprop.keras on jax", "jax", "jax.experimental.sparse", "JAXSparse")

#: The method of Keras's trainer that reads the state.
_READER: Final = "_get_jax_state"


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


def checked_rate(rate: Any, iterations: Any) -> Any:
    """Refuse what a schedule gives and is no learning rate, where that can be seen."""
    if not is_symbolic(rate):
        _number(f"learning_rate({int(iterations.value)})", float(rate))
    return rate


def copy_into(optimizer: Any, variable: Any, average: Any) -> None:
    """Write a variable's average into it, as an array of its own, since a train step may give that away."""
    # What Keras's trainer has taken out, it does not bring back when its train step fails: there is nothing to write.
    if average._value is not None:
        variable.assign(jnp.array(average.value, variable.dtype, copy=True))


def count_of(iterations: Any) -> int | None:
    """Give the number of calls so far, None if a train step has it, or among values that stand for variables."""
    value = iterations._value
    if value is None or in_stateless_scope() or is_symbolic(value) or value.is_deleted():
        return None
    return int(value)


def check_reader(optimizer: Any) -> None:
    """Refuse to give the state to a model of Keras's for variables that it is not of.

    The trainer hands over values alone, which could be anybody's; it reads the state before its first step.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name != _READER:
        frame = frame.f_back
    if frame.f_code.co_name == _READER and isinstance(model := frame.f_locals.get("self"), keras.Model):
        optimizer._numbers(model.trainable_variables)


class Stepper:
    """Does an optimizer's steps."""

    def __init__(self) -> None:
        self._steps: Steps | None = None

    def step(self, optimizer: Any, moves: Moves, gradients: Sequence[Any]) -> None:
        """Do a step, or add it to what is being traced.

        Args:
            optimizer: the optimizer.
            moves: what moves.
            gradients: of `moves.variables`.
        """
        steps = self._steps
        if steps is None:
            steps = self._steps = Steps(optimizer)
        variables, kept = moves.variables, optimizer._kept(moves)
        given = [_checked(*pair) for pair in zip(gradients, variables, strict=True)]
        values = [variable.value for variable in variables]
        slots = [{name: one.value for name, one in mine.items()} for mine, _ in kept]
        collected = [one.value for one in optimizer._collected(moves)]
        calls, decays = optimizer._iterations.value, [decays for _, decays in kept]
        if any(map(is_symbolic, (*given, *values, calls))):
            # Schedules are computed with the rest, functions called before.
            within = is_traceable(optimizer._learning_rate)
            number = None if within else jnp.asarray(optimizer.learning_rate)
            step = steps.whole(decays)
        else:
            number = _rate(optimizer, steps, calls)
            step = steps.seen((moves.kinds, *(one.dtype for one in given)), decays)
        new_values, new_slots, new_collected = step(given, values, slots, collected, number, calls)
        for variable, value in zip(variables, new_values, strict=True):
            variable.assign(value)
        for (mine, _), new in zip(kept, new_slots, strict=True):
            for name, value in new.items():
                mine[name].assign(value)
        for one, value in zip(optimizer._collected(moves), new_collected, strict=True):
            one.assign(value)
        _constrain(optimizer, variables, values, calls)
        optimizer._iterations.assign(calls + 1)


def explain(front_end: str, optimizer: Any, names: Sequence[str], made: Sequence[Made]) -> Explanation:
    """Explain a step of variables that all have a gradient."""
    steps = optimizer._stepper._steps or Steps(optimizer)
    # A train step may have taken the values away.
    arrays = [explaining.described(one.variable.shape, one.variable.dtype) for one in made]
    decays = [one.decays for one in made]
    return explaining.explain(front_end, steps.options, names, arrays, decays, off=steps.off)


def _rate(optimizer: Any, steps: Steps, calls: Any) -> Any:
    """Give the learning rate of a step that is not traced."""
    rate = optimizer._learning_rate
    if not is_compiled(rate):
        return jnp.asarray(optimizer.learning_rate)
    return checked_rate(steps.rate_at(calls), optimizer._iterations)


def _checked(gradient: Any, variable: Any) -> Any:
    if isinstance(gradient, _JAXSparse) and gradient.dtype.name in FLOATS:
        gradient = _dense(gradient)
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


def _dense(gradient: Any) -> Any:
    """Give a sparse gradient as an array; what occurs more than once is summed, of half types in float32."""
    if isinstance(gradient, _BCOO) and gradient.n_batch == 0:
        data, indices = gradient.data, gradient.indices
        if gradient.n_sparse == 1 and not is_symbolic(data) and not is_symbolic(indices):
            # JAX would compile for each number of rows. Those behind the end are padding.
            rows, values = numpy.asarray(indices)[:, 0], numpy.asarray(data)
            there = rows < gradient.shape[0]
            return jnp.asarray(RowSparse(rows[there], values[there], gradient.shape).to_dense())
        if data.dtype.itemsize == 2:
            gradient = _BCOO((data.astype(jnp.float32), indices), shape=gradient.shape)
    return gradient.todense()


def _constrain(optimizer: Any, variables: Sequence[Any], before: Sequence[Any], calls: Any) -> None:
    steps = optimizer.gradient_accumulation_steps
    for variable, old in zip(variables, before, strict=True):
        if variable.constraint is not None:
            new = variable.constraint(variable.value)
            variable.assign(jnp.where((calls + 1) % steps == 0, new, old) if steps else new)
