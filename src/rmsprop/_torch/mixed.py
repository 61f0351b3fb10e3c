"""A step on several devices: the host computes a norm that they share, and the scale of each gradient."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from rmsprop._core.items import Item
from rmsprop._core.plain import clip_scales, joint_square
from rmsprop._core.scalars import group_numbers
from rmsprop._core.tables import JOINT

Numbers = NDArray[numpy.float64]


def scales(items: Sequence[Item], squares: Numbers | None, unscale: float) -> Numbers:
    """Return what each gradient is multiplied by: to clip, to undo a loss scale, to be negated.

    `squares` are the sums of the gradients' squares, without the loss scale; None where no norm clips.
    """
    numbers = [group_numbers(item.group.options) for item in items]
    norms, limits = (numpy.array([one[name] for one in numbers]) for name in ("norm", "limit"))
    factors = numpy.array([-unscale if item.group.maximize else unscale for item in items])
    return factors * clip_scales(numpy.zeros(len(items)) if squares is None else squares, norms, limits)


def shares(items: Sequence[Item], squares: Numbers, places: Sequence[int]) -> Numbers:
    """Return the sums of squares of some items, such that those of a global norm add up to that of all items."""
    found = squares[places]
    is_joint = numpy.array([group_numbers(item.group.options)["norm"] == JOINT for item in items])
    mine = numpy.flatnonzero(is_joint[places])
    if mine.size:
        found[mine] = 0.0
        found[mine[0]] = joint_square(squares, is_joint)
    return found
