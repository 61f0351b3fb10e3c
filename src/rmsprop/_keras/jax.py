"""Steps on Keras's JAX backend, by the engine for JAX arrays."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import jax
import jax.numpy as jnp
import keras
import numpy

from rmsprop._core import versions
from rmsprop._core.checks import FLOATS
from rmsprop._core.explain import Explanation
from rmsprop._core.rates import LearningRate, rate_function
from rmsprop._core.rows import RowSparse
from rmsprop._jax import explaining
from rmsprop._keras.backends import Backend, backend, in_stateless_scope
from rmsprop._keras.jax_steps import Functions
from rmsprop._keras.rates import as_function, is_compiled, is_traceable
from rmsprop._keras.steps import Batch, Explainable, Settings
from rmsprop._keras.variables import as_tensor, name_of

_BCOO: Final = versions.lookup("rmsprop.keras on jax", "jax", "jax.experimental.sparse", "BCOO")
_JAXSparse: Final = versions.lookup("rmsprop.keras on jax", "jax", "jax.experimental.sparse", "JAXSparse")

#: The method of Keras's trainer that reads the state.
_READER: Final = "_get_jax_state"


@final
class Stepper:
    """Does an optimizer's steps."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._functions = settings, Functions(settings)

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Do a step of a batch, or add it to what is being traced."""
        settings, functions = self._settings, self._functions
        variables, calls = batch.variables, settings.counter.value
        given = [_checked(*pair) for pair in zip(gradients, variables, strict=True)]
        values = [variable.value for variable in variables]
        slots = [{name: one.value for name, one in mine.items()} for mine in batch.slots]
        collected = [one.value for one in batch.collected]
        if any(map(_is_symbolic, (*given, *values, calls))):
            step, rate = functions.whole(batch.decays, functions.options), jnp.asarray(learning_rate())
        else:
            step = functions.seen((batch.kinds, *(one.dtype for one in given)), batch.decays)
            if is_compiled(settings.rate):
                rate = backend().checked_rate(functions.rate_at(calls), settings.counter)
            else:
                rate = jnp.asarray(learning_rate())
        new_values, new_slots, new_collected = step(given, values, slots, collected, rate, calls)
        for variable, value in zip(variables, new_values, strict=True):
            variable.assign(value)
        for mine, new in zip(batch.slots, new_slots, strict=True):
            for name, value in new.items():
                mine[name].assign(value)
        for one, value in zip(batch.collected, new_collected, strict=True):
            one.assign(value)
        for variable, old in zip(variables, values, strict=True):
            if variable.constraint is not None:
                value = variable.constraint(variable.value)
                is_step = settings.accumulation.is_step(calls) if collected else None
                variable.assign(value if is_step is None else jnp.where(is_step, value, old))
        settings.counter.assign(calls + 1)


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def _checked(gradient: Any, variable: Any) -> Any:
    if isinstance(gradient, _JAXSparse) and gradient.dtype.name in FLOATS:
        gradient = _dense(gradient)
    if not isinstance(gradient, jax.Array):
        gradient = as_tensor(gradient, variable, "array", jnp.asarray)
    if gradient.dtype.name in FLOATS and gradient.shape == tuple(variable.shape):
        return gradient
    whose = f"the gradient of variable {name_of(variable)!r}"
    if gradient.dtype.name not in FLOATS:
        raise TypeError(f"{whose} has the type {gradient.dtype}: {', '.join(FLOATS)} is needed")
    raise ValueError(f"{whose} has the shape {gradient.shape}, not {variable.shape}")


def _dense(gradient: Any) -> Any:
    """Return a sparse gradient as an array; numbers for the same place are summed, half types in float32."""
    if isinstance(gradient, _BCOO) and gradient.n_batch == 0:
        data, indices = gradient.data, gradient.indices
        if gradient.n_sparse == 1 and not _is_symbolic(data) and not _is_symbolic(indices):
            # JAX would compile for each number of rows. Those behind the end are padding.
            rows, values = numpy.asarray(indices)[:, 0], numpy.asarray(data)
            there = rows < gradient.shape[0]
            return jnp.asarray(RowSparse(rows[there], values[there], gradient.shape).to_dense())
        if data.dtype.itemsize == 2:
            gradient = _BCOO((data.astype(jnp.float32), indices), shape=gradient.shape)
    return gradient.todense()


@final
class Own(Backend):
    """JAX, on which train steps are traced."""

    stepper = Stepper

    def explain(self, front_end: str, settings: Settings, known: Explainable) -> Explanation:
        """Explain a step."""
        # A train step may have removed the values.
        arrays = [explaining.described(one.shape, one.dtype) for one in known.variables]
        functions = Functions(settings)
        return explaining.explain(front_end, functions.options, known.names, arrays, known.decays, off=functions.off)

    def is_at_hand(self, tensor: Any) -> bool:
        """Whether a tensor has numbers."""
        return not _is_symbolic(tensor)

    is_symbolic = staticmethod(_is_symbolic)

    def rate_at(self, rate: LearningRate, iterations: Any) -> Any:
        """Return the learning rate of a step by a function, or by a schedule of ours."""
        steps = iterations.value
        if is_traceable(rate) or not callable(rate):
            return rate(steps) if callable(rate) else rate
        function = rate_function(as_function(rate))

        def call(step: Any) -> Any:
            return jnp.dtype(jnp.float32).type(function(int(step)))

        if not self.is_symbolic(steps):
            return call(steps)
        # At every step, not once when it is traced: that is what a function is for.
        return jax.pure_callback(call, jnp.zeros((), jnp.float32), steps)

    def copy_into(self, variable: Any, average: Any, strategy: Any) -> None:
        """Write a variable's average into it, in memory of its own: a train step may donate it."""
        # Keras's trainer removes values and does not bring them back when its train step fails.
        if average._value is not None:
            variable.assign(jnp.array(average.value, variable.dtype, copy=True))

    def count_of(self, iterations: Any) -> int | None:
        """Return the number of calls so far, None if a train step holds it, or where values stand for variables."""
        value = iterations._value
        if value is None or in_stateless_scope() or self.is_symbolic(value) or value.is_deleted():
            return None
        return int(value)

    def check_reader(self, numbers_of: Callable[[Sequence[Any]], Any]) -> None:
        """Refuse a model that reads the state of other variables than its own.

        The trainer's steps pass values alone, which could be anybody's; it reads the state before its first step.
        """
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_name != _READER:
            frame = frame.f_back
        if frame.f_code.co_name == _READER and isinstance(model := frame.f_locals.get("self"), keras.Model):
            numbers_of(model.trainable_variables)
