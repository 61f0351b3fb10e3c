"""What a limit of a norm multiplies gradients by; written for numbers, so that a compiler may take it as it is."""

import math


def clip_scale(own: float, joint: float, limit: float, is_joint: bool) -> float:
    """Give what a gradient is multiplied by so that a norm is at most a limit: c / max(norm, c), exactly 1 within c.

    NaN where the norm of all gradients is not finite, which would leave none of them right, and where c is NaN, as a
    number that is computed within a compiled step may be.

    Args:
        own: norm of the gradient.
        joint: norm of all gradients.
        limit: c; options are checked to be above 0.
        is_joint: which of the two norms it is for.
    """
    if is_joint:
        return limit / (limit if joint <= limit else joint) if math.isfinite(joint) else math.nan
    return limit / (limit if own <= limit else own)
