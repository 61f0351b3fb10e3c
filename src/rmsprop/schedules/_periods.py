"""The number of periods before a step, exact at the step where a period ends, under every compiler.

XLA and TensorFlow's graph rewriter turn a division by a constant into a multiplication with its reciprocal, so that
5 / 5 or 41 / 41 is a little below a whole number: ``floor`` alone would end such a period one step late. The quotient
is only a first guess; products, which no compiler rewrites, decide.
"""

import math
from typing import Any

from rmsprop.schedules._namespace import Namespace


def whole(xp: Namespace, x: Any, length: float) -> Any:
    """Return the number of whole periods of one length in [0, x].

    Exact for whole-numbered `x` and `length` up to 2**53 in double and 2**24 in single precision.
    """
    guess = xp.floor(x / length)
    guess = xp.where((guess + 1.0) * length <= x, guess + 1.0, guess)
    return xp.where(guess * length > x, guess - 1.0, guess)


def equal(xp: Namespace, x: Any, length: float) -> tuple[Any, Any]:
    """Return the whole periods before `x` and the fraction of the running one, for periods of one length."""
    before = whole(xp, x, length)
    # The remainder before the division: x / length - before would cancel digits away.
    return before, (x - before * length) / length


def growing(xp: Namespace, x: Any, length: float, factor: float) -> tuple[Any, Any]:
    """Return the whole periods before `x` and the fraction of the running one, each `factor` times the one before.

    Period i starts at ``length * (factor**i - 1) / (factor - 1)``. A start is reached if the step is below it only by
    rounding. Periods with ``factor < 1`` end at ``length / (1 - factor)``; from there on the result is the end of a
    period, (0, 1).
    """

    def start(i: Any) -> Any:
        return length * (factor**i - 1.0) / (factor - 1.0)

    def reached(i: Any) -> Any:
        rounding = 16.0 * xp.eps * start(i)
        return x >= start(i) - xp.where(rounding > 0.5, 0.5, rounding)  # never a whole step early

    power = 1.0 + x / length * (factor - 1.0)  # factor**i at the start of period i
    over = power <= 0.0
    power = xp.where(over, 1.0, xp.where(power > xp.largest, xp.largest, power))
    guess = xp.floor(xp.log(power) / math.log(factor))
    guess = xp.where(reached(guess + 1.0), guess + 1.0, guess)
    before = xp.where(reached(guess), guess, guess - 1.0)
    fraction = (x - start(before)) / (length * factor**before)
    return xp.where(over, 0.0, before), xp.where(over, 1.0, fraction)
