"""The base of all schedules: a callable with a config, from which its equality, its hash and its repr follow."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from rmsprop._core.options import call_repr
from rmsprop.schedules._check import ARGUMENTS
from rmsprop.schedules._namespace import Namespace, resolve


class LearningRateSchedule(ABC):
    """A learning rate that depends on the step.

    A subclass defines ``__call__(step)`` and ``get_config()``. When its constructor has the entries of the config by
    name, ``from_config`` needs no code either. Two schedules are equal when their class and their config are.

    Example:
        >>> class Warmup(LearningRateSchedule):
        ...     def __init__(self, peak, steps):
        ...         self.peak, self.steps = peak, steps
        ...     def __call__(self, step):
        ...         return self.peak * min(step / self.steps, 1.0)
        ...     def get_config(self):
        ...         return {"peak": self.peak, "steps": self.steps}
        >>> Warmup(0.1, steps=4)(2)
        0.05
        >>> Warmup.from_config({"peak": 0.1, "steps": 4})
        Warmup(peak=0.1, steps=4)

    References:
        ``tf.keras.optimizers.schedules.LearningRateSchedule`` in the Keras 2 documentation.
    """

    @abstractmethod
    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step.

        Args:
            step: steps done before this one, from 0 on: a number, or a tensor or array of any shape.

        Returns:
            The learning rate, in the shape of `step`.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build an equal schedule, as values that JSON can hold."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a schedule from what ``get_config`` returned.

        Args:
            config: the constructor's arguments by name.

        Returns:
            A schedule of the class it is called on.
        """
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), _frozen(self.get_config())))

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in parameters}
        return call_repr(type(self).__name__, self.get_config(), defaults)


class Formula(LearningRateSchedule):
    """A schedule of ours: a frozen dataclass with one formula, written for any namespace."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = ARGUMENTS[field.name](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)  # the dataclass is frozen for everybody else

    @abstractmethod
    def _value(self, xp: Namespace, x: Any) -> Any:
        """Return the learning rate at `x`, the step as a floating-point value of the compute type."""

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step.

        Args:
            step: steps done before this one, from 0 on: a number, or a NumPy, JAX, TensorFlow or torch array of any
                shape.

        Returns:
            The learning rate in the shape of `step`: a Python float for a Python number, float64 for NumPy, float32
            for the other frameworks (float64 when the step is float64, or under JAX's x64 mode).

        Raises:
            TypeError: `step` is neither, or holds no real numbers.
        """
        xp, x = resolve(step)
        with xp.quiet():
            return xp.finish(self._value(xp, x))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments by name, as values that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _frozen(value: Any) -> Any:
    """Return a hashable copy of a config."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, _frozen(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
