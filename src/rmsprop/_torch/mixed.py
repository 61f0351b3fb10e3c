"""A step whose parameters go different ways: a norm that they share, and the numbers of each, are found on the host."""

from collections.abc import Sequence

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core.items import Item
from rmsprop._core.scales import clip_scale

Numbers = NDArray[numpy.float64]


def clip_scales(items: Sequence[Item], squares: Numbers | None, unscale: float) -> Numbers:
    """Give what each gradient is multiplied by: for clipping, to undo a loss scale, to go up instead of down.

    Args:
        items: those of the step.
        squares: the sum of each gradient's squares, without the loss scale; None where no norm clips.
        unscale: what undoes the loss scale.
    """
    norm = 0.0 if squares is None else float(numpy.sqrt(_joint(items, squares)))
    found = numpy.ones(len(items))
    for place, item in enumerate(items):
        options, factor = item.group.options, -unscale if item.group.maximize else unscale
        found[place] = factor
        limit = options.clipnorm or options.global_clipnorm
        if limit is not None and squares is not None:
            own = float(numpy.sqrt(squares[place]))
            found[place] *= clip_scale(own, norm, limit, options.global_clipnorm is not None)
    return found


def shares(items: Sequence[Item], squares: Numbers, places: Sequence[int]) -> Numbers:
    """Give the sums of squares of some items, such that those of a global norm add up to that of all items."""
    found = squares[places]
    mine = [row for row, place in enumerate(places) if items[place].group.options.global_clipnorm is not None]
    if mine:
        found[mine] = 0.0
        found[mine[0]] = _joint(items, squares)
    return found


def _joint(items: Sequence[Item], squares: Numbers) -> float:
    """Add up the squares of those that a global norm clips, in their order."""
    together = [place for place, item in enumerate(items) if item.group.options.global_clipnorm is not None]
    return float(numpy.add.accumulate(squares[together])[-1]) if together else 0.0


def scale_on(device: torch.device, unscale: float | None) -> Tensor | None:
    """Give a loss scale as a tensor, as `GradScaler` has it; in the default type it may be infinite."""
    return None if unscale is None else torch.full((1,), 1 / unscale, dtype=torch.float32, device=device)
