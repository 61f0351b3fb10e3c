"""The scale of a gradient whose norm is limited, and the steps at which averages overwrite: formulas of numbers.

Plain steps call these functions, and Numba compiles them as they are. limit / max(norm, limit) is written three times
more, for numbers that Python cannot branch on: `rmsprop._core.cuda.norms` in Triton, which has no `math`;
`rmsprop._jax.norms`, which has a second sum against an overflow of float32, and derivatives; and
`rmsprop._tensorflow.traced`.
"""

import math
from typing import Any


def clip_scale(own: float, joint: float, limit: float, is_joint: bool) -> float:
    """Return the scale of a gradient: limit / max(norm, limit), exactly 1 within the limit.

    NaN where the norm of all gradients is not finite, which would leave none of them right, and where the limit is NaN,
    as a number that is computed within a compiled step may be.

    Args:
        own: norm of the gradient.
        joint: norm of all gradients.
        limit: the largest norm; options are checked to be above 0.
        is_joint: which of the two norms it is for.
    """
    if is_joint:
        return limit / (limit if joint <= limit else joint) if math.isfinite(joint) else math.nan
    return limit / (limit if own <= limit else own)


def overwrites(done: Any, every: Any) -> Any:
    """Return whether averages overwrite variables in the step after `done` finished ones, at every `every`-th step.

    Either may be an array or traced; `every` is above 0. `rmsprop._core.cuda.norms` has the same formula in Triton.
    """
    return done % every == every - 1  # not `done + 1`, which an array may not hold
