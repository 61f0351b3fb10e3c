"""A whole step on the tensors of one CUDA device: finds the launches for a pattern of tensors, and runs them.

What holds for a pattern is worked out once and kept. A step then reads addresses, sends them to the device if they are
not the last step's, and launches; nothing waits for the device.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final

import numpy
import torch
from torch import Tensor

from rmsprop._core import plan
from rmsprop._core.cuda.launches import Launches
from rmsprop._core.cuda.tables import Integers
from rmsprop._core.options import Options
from rmsprop._torch.cuda_call import Call, Seen
from rmsprop._torch.cuda_items import Item, Look, Rate, tensor_of

#: Patterns kept: gradients may come and go in a few, not in endless ones.
_PATTERNS: Final = 16


class Cuda:
    """Steps parameters that are on one device.

    Args:
        options: the checked arguments of items that have none of their own.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        # Of the last step: what its tensors are like, where they were, and what it launched. Each is one value, so that
        # an interrupt leaves it as a whole.
        self._seen: Seen | None = None
        self._overlaps: tuple[list[Look], Integers, list[int]] = [], numpy.empty((0, 0), numpy.int64), []
        self._last: tuple[Any, list[Look], Launches] | None = None
        self._launches: dict[Any, Launches] = {}
        self._captured: list[Launches] = []

    def step(
        self,
        items: Sequence[Item],
        learning_rate: Rate,
        iterations: Tensor,
        grad_scale: Tensor | None = None,
        found_inf: Tensor | None = None,
        squares: Tensor | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Advance all parameters by one step.

        Args:
            items: parameters of the step, all on one device.
            learning_rate: a number, or a tensor of one number on the device, which is read there.
            iterations: steps done before, an int64 tensor without axes on the device, which is counted up there.
            grad_scale: what the loss was multiplied by, a tensor of one float on the device; None without.
            found_inf: tensor of one float on the device: not zero, and the step changes nothing.
            squares: float64 tensor, for each item the sum of its gradient's squares, if not those of the gradients
                here: where a parameter is distributed, of all its parts (`square_sums` gives those of one).
            begin: called when all is found to be well and compiled, before anything is launched.

        Raises:
            TypeError: a type of tensor that cannot be stepped.
            ValueError: a shape or a device does not fit.
            RuntimeError: a CUDA graph is captured, and nothing like this was stepped before.
        """
        if not items:
            return
        with torch.no_grad(), _device_of(items):
            call = self._call(items, learning_rate)
            launches = self._prepared(call)
            launches.run(call.tensors, call.groups, call.rates, iterations, grad_scale, found_inf, squares, begin)
            for parameter, copy in call.returns:
                parameter.copy_(copy)
        written = [tensor for item in items for tensor in (item.parameter, *item.slots.values())]
        # Autograd cannot see what a kernel writes: a graph that needs an old value would silently use the new one.
        torch.autograd.graph.increment_version([*written, iterations])

    def square_sums(self, items: Sequence[Item], grad_scale: Tensor | None = None) -> Tensor:
        """Give the sum of the squares of each gradient that a norm scales, float64, on the device; 0 for the others.

        The next call uses the tensor again. With `grad_scale`, that is of the gradients without it.
        """
        if not items:
            return torch.zeros(0, dtype=torch.float64)
        with torch.no_grad(), _device_of(items):
            call = self._call(items, 0.0)
            return self._prepared(call).sum_squares(call.tensors, grad_scale)

    def _call(self, items: Sequence[Item], learning_rate: Rate) -> Call:
        call = Call(self._options, items, learning_rate, self._seen)
        self._seen = Seen(call.seen, call.tensors)
        return call

    def _prepared(self, call: Call) -> Launches:
        """Find the launches for a call's pattern of tensors, or make them; separate gradients from what is written."""
        device = call.items[0].parameter.device
        captures = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        looks, tensors, _ = self._overlaps
        if not (call.looks == looks and numpy.array_equal(call.tensors, tensors)):
            # Only where something moved: this takes a while.
            self._overlaps = call.looks, call.tensors.copy(), call.overlapping()
        call.separate(self._overlaps[2])
        pattern = (device, len(call.groups), call.aligned())
        if self._last is None or pattern != self._last[0] or call.looks != self._last[1]:
            kinds = tuple(tensor_of(*one) for one in zip(call.looks, *pattern[2], strict=True))
            up = tuple(look.maximize for look in call.looks)
            self._last = pattern, call.looks, self._find((*pattern[:2], kinds, up), captures)
        launches = self._last[2]
        if captures and launches not in self._captured:
            self._captured.append(launches)  # replays use its memory even if it is dropped here
        return launches

    def _find(
        self, key: tuple[torch.device, int, tuple[plan.Tensor, ...], tuple[bool, ...]], captures: bool
    ) -> Launches:
        launches = self._launches.pop(key, None)
        if launches is None:
            if captures:
                raise RuntimeError(
                    "the first step of these parameters is within the capture of a CUDA graph, where nothing can be "
                    "compiled: do one with gradients of the same types and strides before it"
                )
            device, groups, tensors, up = key
            launches = Launches(tensors, up, groups, device)
        if len(self._launches) >= _PATTERNS:
            self._launches.pop(next(iter(self._launches)))
        self._launches[key] = launches  # at the end, farthest from being dropped
        return launches


def _device_of(items: Sequence[Item]) -> Any:
    """Make the items' device the current one, on which Triton launches."""
    device = items[0].parameter.device
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
