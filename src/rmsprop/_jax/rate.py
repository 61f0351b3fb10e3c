"""The learning rate of a step: a number in the state, or what a schedule or a function returns."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.options import with_rate
from rmsprop._core.rates import LearningRate, check_learning_rate, rate_function, refuse_number
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.state import RMSpropState, check_state
from rmsprop._jax.trees import is_traced


def first_rate(options: ArrayOptions) -> jax.Array | None:
    """Return the rate of a new state; None where a schedule rules."""
    rate = rate_function(options.learning_rate)(0) if options.calls_rate else options.learning_rate
    # A copy in any case: the memory of the state may be donated.
    return None if callable(rate) else jnp.array(rate, jnp.result_type(float), copy=True)


def rate_of(options: ArrayOptions, state: RMSpropState) -> Any:
    """Return the rate of the next step: the state's, or that of the options if the state has none.

    Raises:
        ValueError: the state has a rate, and a schedule rules.
    """
    if state.rate is None:
        return rate_at(options, state.iterations)
    if options.schedules_rate:
        raise ValueError(
            f"state.rate: the state holds one, but the schedule {options.learning_rate!r} rules; it was made with "
            "other options. state._replace(rate=None) goes on with the schedule"
        )
    return state.rate


def rate_at(options: ArrayOptions, iterations: Any) -> Any:
    """Return the rate of the options after a number of steps."""
    rate = options.learning_rate
    return rate(iterations) if callable(rate) else rate


def check_rate(rate: Any) -> Any:
    """Return the rate of a step, checked: a single number >= 0.

    A kernel would read the first number of several, and XLA would spread them over a parameter's last axis. The number
    is looked at unless JAX traces it, or other processes hold it.

    Raises:
        TypeError: the rate is no number.
        ValueError: the rate has axes, is below 0 or not finite.
    """
    if not isinstance(rate, int | float) and not hasattr(rate, "dtype"):
        raise TypeError(f"learning_rate={rate!r}, which a schedule gave, is not a number")
    dtype = getattr(rate, "dtype", None)
    if dtype is not None and not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer)):
        raise TypeError(
            f"learning_rate has the type {dtype}, in the state or as a schedule gave it, and is not a number"
        )
    if jnp.shape(rate) != ():
        raise ValueError(
            f"learning_rate has the shape {jnp.shape(rate)}, in the state or as a schedule gave it: one number is "
            "needed; a rate of each model is for vmap"
        )
    if not isinstance(rate, jax.Array) or (not isinstance(rate, jax.core.Tracer) and rate.is_fully_addressable):
        check_learning_rate(rate)
    return rate


def refuse_uncounted(options: ArrayOptions, advice: str) -> None:
    """Refuse a function of nothing as the rate of a step that is traced; `advice` is what else the user may do."""
    if options.calls_rate:
        raise TypeError(
            f"learning_rate={options.learning_rate!r} takes no step: it would be called when the step is traced, not "
            f"when it runs. Use a function of the step, or {advice}"
        )


class Rated(ABC):
    """The part of `rmsprop.jax.RMSprop` that holds its learning rate."""

    _options: ArrayOptions
    #: Whether a rate was assigned that no state has yet.
    _is_assigned: bool
    #: Whether a step was traced, in which an assigned rate would be missing.
    _was_traced: bool
    #: The rate, by identity, of the state that an assigned rate was written into: `_with_rate` writes into it again.
    _replaced: Any
    #: The step and the rate as functions that JAX has compiled; None: neither yet.
    _compiled: Any
    _compiled_rate: Any

    @abstractmethod
    def init(self, params: Any) -> RMSpropState:
        """Return the state for parameters, before the first step."""

    @property
    def learning_rate(self) -> Any:
        """The learning rate that `init` starts with, a number, a schedule or a function; assign another one.

        The next step that is not traced writes an assigned rate into its state. A compiled step sees its arguments
        alone, so assigning is an error once a step was traced. `set_learning_rate` changes a state, not this.

        Raises:
            RuntimeError: assigned after a step was traced.
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        return self._options.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        """Assign what `init` shall start with, before a step is traced; where a schedule rules, no number."""
        options = with_rate(self._options, value)
        if self._was_traced:
            raise RuntimeError(
                f"learning_rate={options.learning_rate!r} would not reach the steps that were traced already: "
                "state = optimizer.set_learning_rate(state, value) does"
            )
        forgotten = {"_compiled": None, "_compiled_rate": None} if callable(value) else {}
        # At once: an interrupt in between would leave a mark without the rate, or a rate without the mark, for good.
        vars(self).update(_options=options, _is_assigned=True, **forgotten)

    def set_learning_rate(self, state: RMSpropState, value: Any) -> RMSpropState:
        """Return the state with another learning rate; nothing is compiled anew.

        Args:
            state: what `init` or a step returned.
            value: a number >= 0, or an array of one, also a traced one.

        Raises:
            TypeError: a schedule rules, or `value` is no number.
            ValueError: `value` is below 0 or not finite, as far as can be seen; or the state has no rate, since it was
                made where a schedule ruled.
        """
        if callable(self._options.learning_rate):
            refuse_number(value, self._options.learning_rate, advice="")
        if state.rate is None:
            raise ValueError(
                f"learning_rate={value!r} cannot be set in a state without one: it was made where a schedule ruled"
            )
        replace(self._options, learning_rate=value)  # which checks the value
        if callable(value):
            raise TypeError(f"learning_rate={value!r} is not a number")
        held = jnp.asarray(state.rate)
        # A copy in any case: the memory of the state may be donated.
        return state._replace(rate=jnp.broadcast_to(jnp.array(value, held.dtype, copy=True), held.shape))

    def rate(self, state: RMSpropState) -> jax.Array:
        """Return the learning rate of the next step, as an array without axes; also within a step that is traced.

        The rate is the number in the state, or what the schedule or function returns for the steps that are done.

        Args:
            state: what `init` or a step returned.

        Raises:
            TypeError: `state` is no state, or is being traced while the learning rate is a function without arguments.
            ValueError: the state holds a number and a schedule rules, or the rate is below 0 or not finite, as far as
                can be seen.
            RuntimeError: `state` is being traced, and `learning_rate` was assigned after `init`.

        Example:
            >>> import jax.numpy as jnp
            >>> from rmsprop.jax import RMSprop
            >>> optimizer = RMSprop(learning_rate=0.5)
            >>> state = optimizer.set_learning_rate(optimizer.init(jnp.ones(3)), 0.25)
            >>> print(optimizer.rate(state), optimizer.learning_rate)
            0.25 0.5
        """
        check_state(state)
        if is_traced(state):
            self._check_traceable()
        else:
            state = self._with_rate(state)
        found = check_rate(rate_of(self._options, state))
        return found if isinstance(found, jax.Array) else jnp.asarray(found, jnp.result_type(float))

    def _check_schedule(self, iterations: Any) -> None:
        """Check the rate of a schedule, which a compiled step cannot do.

        The type and the shape are checked where the schedule is traced, the number where it has run.
        """
        options = self._options
        if options.schedules_rate:
            if self._compiled_rate is None:
                self._compiled_rate = jax.jit(lambda iterations: check_rate(rate_at(options, iterations)))
            check_rate(self._compiled_rate(iterations))

    def _with_rate(self, state: RMSpropState) -> RMSpropState:
        """Return the state with the rate that was assigned, or comes from a function of nothing.

        The state that an assigned rate was written into may be stepped again: the step was interrupted, or failed where
        its results were waited for. Then the rate is written again.
        """
        old = hasattr(state.rate, "dtype") and state.rate is self._replaced
        if self._is_assigned or old or self._options.calls_rate:
            return state._replace(rate=first_rate(self._options))
        return state

    def _check_traceable(self) -> None:
        """Refuse a rate that is read while a step is traced, and not when the step runs."""
        if self._is_assigned:
            raise RuntimeError(
                f"learning_rate={self._options.learning_rate!r} was assigned after init(), which a step that is being "
                "traced cannot know of: state = optimizer.set_learning_rate(state, value)"
            )
        refuse_uncounted(self._options, "set_learning_rate")
