"""Schedules that fall by a power, by steps, by a polynomial and by the inverse of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

from rmsprop.schedules._base import Formula
from rmsprop.schedules._namespace import Namespace
from rmsprop.schedules._periods import whole


@final
@dataclass(frozen=True, eq=False, repr=False)
class ExponentialDecay(Formula):
    """A learning rate that is multiplied by the same factor every so many steps.

    ``initial_learning_rate * decay_rate ** (step / decay_steps)``; with `staircase` the exponent is rounded down, and
    the learning rate changes only at multiples of `decay_steps`.

    Args:
        initial_learning_rate: learning rate at step 0; a number, 0 or greater.
        decay_steps: steps in which the learning rate is multiplied by `decay_rate` once; a number greater than 0.
        decay_rate: the factor; a finite number, above 1 for a growing learning rate.
        staircase: whether the learning rate changes in stairs.
        name: a label for Keras; it changes no value.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: a number is not finite or outside its range.

    Example:
        >>> schedule = ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5, staircase=True)
        >>> schedule(99), schedule(100), schedule(250)
        (0.1, 0.05, 0.025)

    References:
        ``tf.keras.optimizers.schedules.ExponentialDecay`` in the Keras 2 documentation.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str | None = None

    def _value(self, xp: Namespace, x: Any) -> Any:
        length = float(self.decay_steps)
        exponent = whole(xp, x, length) if self.staircase else x / length
        return float(self.initial_learning_rate) * float(self.decay_rate) ** exponent


@final
@dataclass(frozen=True, eq=False, repr=False)
class PiecewiseConstantDecay(Formula):
    """A learning rate that jumps from one constant to the next after given steps.

    ``values[0]`` while ``step <= boundaries[0]``, then ``values[1]`` while ``step <= boundaries[1]``, and so on;
    ``values[-1]`` after the last boundary.

    Args:
        boundaries: the last step of each value but the last; numbers, strictly increasing. Stored as a tuple.
        values: the learning rates, one more than there are boundaries; numbers, 0 or greater. Stored as a tuple.
        name: a label for Keras; it changes no value.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: the lengths do not fit, the boundaries do not increase, or a number is outside its range.

    Example:
        >>> schedule = PiecewiseConstantDecay(boundaries=[100, 200], values=[1.0, 0.5, 0.1])
        >>> schedule(100), schedule(101), schedule(201)
        (1.0, 0.5, 0.1)

    References:
        ``tf.keras.optimizers.schedules.PiecewiseConstantDecay`` in the Keras 2 documentation.
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must hold one number more than boundaries, got {len(self.values)} values {self.values!r} "
                f"for {len(self.boundaries)} boundaries {self.boundaries!r}"
            )
        if any(left >= right for left, right in pairwise(self.boundaries)):
            raise ValueError(f"boundaries must be strictly increasing, got {self.boundaries!r}")

    def _value(self, xp: Namespace, x: Any) -> Any:
        rate = xp.full_like(x, float(self.values[0]))
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = xp.where(x > float(boundary), float(value), rate)
        return rate


@final
@dataclass(frozen=True, eq=False, repr=False)
class PolynomialDecay(Formula):
    """A learning rate that falls along a polynomial to an end value, once or again and again.

    With ``s = min(step, decay_steps)``::

        (initial_learning_rate - end_learning_rate) * (1 - s / decay_steps) ** power + end_learning_rate

    With `cycle` the step is not held; instead `decay_steps` stands for its first multiple that is not below the step
    (for step 0, `decay_steps` itself): each cycle starts lower and ends at `end_learning_rate`.

    Args:
        initial_learning_rate: learning rate at step 0; a number, 0 or greater.
        decay_steps: steps to the end value; a number greater than 0.
        end_learning_rate: learning rate at the end; a number, 0 or greater.
        power: exponent of the polynomial, 1 for a straight line; a finite number.
        cycle: whether to start again after each multiple of `decay_steps`.
        name: a label for Keras; it changes no value.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: a number is not finite or outside its range.

    Example:
        >>> schedule = PolynomialDecay(0.5, decay_steps=100, end_learning_rate=0.25, power=2)
        >>> schedule(0), schedule(50), schedule(1000)
        (0.5, 0.3125, 0.25)

    References:
        ``tf.keras.optimizers.schedules.PolynomialDecay`` in the Keras 2 documentation.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str | None = None

    def _value(self, xp: Namespace, x: Any) -> Any:
        length, end = float(self.decay_steps), float(self.end_learning_rate)
        if self.cycle:
            full = whole(xp, x, length)
            cycles = xp.where(full * length < x, full + 1.0, full)
            fraction = x / (length * xp.where(cycles < 1.0, 1.0, cycles))
        else:
            fraction = xp.where(x > length, length, x) / length
        # An accelerator's division may leave a fraction a hair above 1, of which a broken power is NaN.
        left = xp.where(fraction > 1.0, 0.0, 1.0 - fraction)
        return (float(self.initial_learning_rate) - end) * left ** float(self.power) + end


@final
@dataclass(frozen=True, eq=False, repr=False)
class InverseTimeDecay(Formula):
    """A learning rate that falls with the inverse of the time passed.

    ``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; with `staircase` the quotient ``step /
    decay_steps`` is rounded down, and the learning rate changes only at multiples of `decay_steps`.

    Args:
        initial_learning_rate: learning rate at step 0; a number, 0 or greater.
        decay_steps: steps that count as one unit of time; a number greater than 0.
        decay_rate: how much the divisor grows per unit of time; a finite number.
        staircase: whether the learning rate changes in stairs.
        name: a label for Keras; it changes no value.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: a number is not finite or outside its range.

    Example:
        >>> schedule = InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)
        >>> schedule(0), schedule(10), schedule(30)
        (0.1, 0.05, 0.025)

    References:
        ``tf.keras.optimizers.schedules.InverseTimeDecay`` in the Keras 2 documentation.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str | None = None

    def _value(self, xp: Namespace, x: Any) -> Any:
        length = float(self.decay_steps)
        time = whole(xp, x, length) if self.staircase else x / length
        return float(self.initial_learning_rate) / (1.0 + float(self.decay_rate) * time)
