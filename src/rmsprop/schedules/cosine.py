"""Schedules that fall along half a cosine, once after a warm-up or again and again."""

import math
from dataclasses import dataclass
from typing import Any, final

from rmsprop.schedules._base import Formula
from rmsprop.schedules._namespace import Namespace
from rmsprop.schedules._periods import equal, growing


def _half_wave(xp: Namespace, fraction: Any) -> Any:
    """Return half a cosine: 1 at fraction 0, exactly 0 at fraction 1."""
    return 0.5 * (1.0 + xp.cos(math.pi * fraction))


@final
@dataclass(frozen=True, eq=False, repr=False)
class CosineDecay(Formula):
    """A learning rate that falls along half a cosine, after a linear warm-up if one is wanted.

    Without a `warmup_target`, with ``s = min(step, decay_steps)``::

        initial_learning_rate * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)

    With one, the learning rate first moves on a straight line from `initial_learning_rate` at step 0 to
    `warmup_target` at step `warmup_steps`; the cosine starts there, from `warmup_target`, and ends at step
    ``warmup_steps + decay_steps``.

    Args:
        initial_learning_rate: learning rate at step 0; a number, 0 or greater.
        decay_steps: steps of the cosine; a number greater than 0.
        alpha: what is left at the end, as a fraction of the learning rate from which the cosine falls; a finite number.
        name: a label for Keras; it changes no value.
        warmup_target: learning rate at the end of the warm-up; a number, 0 or greater, also one below
            `initial_learning_rate`. None: no warm-up, for any `warmup_steps`.
        warmup_steps: steps of the warm-up; a number, 0 or greater. 0 starts the cosine at once, from `warmup_target`.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: a number is not finite or outside its range.

    Example:
        >>> schedule = CosineDecay(0.0, decay_steps=100, alpha=0.25, warmup_target=0.5, warmup_steps=10)
        >>> schedule(0), schedule(5), schedule(10), schedule(60), schedule(110)
        (0.0, 0.25, 0.5, 0.3125, 0.125)

    References:
        ``tf.keras.optimizers.schedules.CosineDecay`` in the Keras 2 documentation; the cosine is from Loshchilov and
        Hutter, "SGDR", arXiv:1608.03983, the warm-up from Goyal et al., arXiv:1706.02677.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str | None = None
    warmup_target: float | None = None
    warmup_steps: float = 0

    def _value(self, xp: Namespace, x: Any) -> Any:
        start = float(self.initial_learning_rate)
        if self.warmup_target is None:
            return self._decayed(xp, x, start)
        peak, warmup = float(self.warmup_target), float(self.warmup_steps)
        after = self._decayed(xp, x - warmup, peak)
        if warmup == 0.0:
            return after
        return xp.where(x < warmup, (peak - start) * (x / warmup) + start, after)

    def _decayed(self, xp: Namespace, x: Any, peak: float) -> Any:
        length, alpha = float(self.decay_steps), float(self.alpha)
        fraction = xp.where(x > length, length, x) / length
        return peak * ((1.0 - alpha) * _half_wave(xp, fraction) + alpha)


@final
@dataclass(frozen=True, eq=False, repr=False)
class CosineDecayRestarts(Formula):
    """A learning rate that falls along half a cosine, starts again, and so on: SGDR's warm restarts.

    Period i = 0, 1, 2, ... lasts ``first_decay_steps * t_mul**i`` steps. In it, after the fraction f of its steps::

        initial_learning_rate * ((1 - alpha) * m_mul**i * (1 + cos(pi * f)) / 2 + alpha)

    At the step on which a period ends the next one has begun, with f = 0. Periods that shrink (``t_mul < 1``) come to
    an end at step ``first_decay_steps / (1 - t_mul)``; from there on the value is ``initial_learning_rate * alpha``.

    Args:
        initial_learning_rate: learning rate at step 0; a number, 0 or greater.
        first_decay_steps: steps of the first period; a number greater than 0.
        t_mul: how many times longer each period is than the one before; a number greater than 0.
        m_mul: how many times higher each period starts than the one before; a finite number.
        alpha: what is left at a period's end, as a fraction of `initial_learning_rate`; a finite number.
        name: a label for Keras; it changes no value.

    Raises:
        TypeError: an argument has the wrong type; a bool is not a number.
        ValueError: a number is not finite or outside its range.

    Example:
        >>> schedule = CosineDecayRestarts(0.5, first_decay_steps=10, t_mul=2.0, m_mul=0.5)
        >>> schedule(0), schedule(5), schedule(10), schedule(20), schedule(30)
        (0.5, 0.25, 0.25, 0.125, 0.125)

    References:
        ``tf.keras.optimizers.schedules.CosineDecayRestarts`` in the Keras 2 documentation; Loshchilov and Hutter,
        "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str | None = None

    def _value(self, xp: Namespace, x: Any) -> Any:
        length, alpha = float(self.first_decay_steps), float(self.alpha)
        # A factor that float32 cannot tell from 1 would divide by 0 in `growing`.
        if abs(self.t_mul - 1.0) <= 1e-7:
            restarts, fraction = equal(xp, x, length)
        else:
            restarts, fraction = growing(xp, x, length, float(self.t_mul))
        height = float(self.m_mul) ** restarts * _half_wave(xp, fraction)
        return float(self.initial_learning_rate) * ((1.0 - alpha) * height + alpha)
