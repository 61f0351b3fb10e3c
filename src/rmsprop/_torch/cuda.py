"""A whole step on the tensors of one CUDA device: the launches for a pattern of tensors are made once and kept.

A step reads addresses, sends them to the device if they have changed, and launches. It does not wait for the device.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, final

import numpy
import torch
from torch import Tensor

from rmsprop._core.cuda.launches import Launches
from rmsprop._core.cuda.tables import Integers
from rmsprop._core.items import Item
from rmsprop._torch.cuda_call import Call, Seen
from rmsprop._torch.cuda_looks import Look, tensor_of

#: Patterns kept: gradients may come and go in a few patterns, not in endless ones.
_PATTERNS: Final = 16


@final
class Cuda:
    """Steps parameters that are on one device."""

    def __init__(self) -> None:
        # Of the last step: its tensors, where they were, and what it launched. Each is one value, so that an interrupt
        # leaves it as a whole.
        self._seen: Seen | None = None
        self._overlaps: tuple[list[Look], Integers, list[int]] = [], numpy.empty((0, 0), numpy.int64), []
        self._last: tuple[Any, list[Look], Launches] | None = None
        self._launches: dict[Any, Launches] = {}
        self._captured: list[Launches] = []

    def step(
        self,
        items: Sequence[Item],
        iterations: Tensor,
        grad_scale: Tensor | None = None,
        found_inf: Tensor | None = None,
        squares: Tensor | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Advance all parameters by one step.

        Args:
            items: parameters of the step, all on one device; the state has no gaps, its axes in memory are as the
                parameter's. Groups have `options`, `maximize`, and `rate`: a number, or a tensor of one number that
                is read on the device.
            iterations: steps done before, an int64 tensor without axes on the device, which advances it.
            grad_scale: what the loss was multiplied by, a tensor of one float; None: nothing.
            found_inf: a tensor of one float, not zero to change nothing; None: the step is done.
            squares: float64 tensor, for each item the sum of its gradient's squares, if not that of the gradient
                here: of a distributed parameter, that of all its parts (`square_sums` returns that of one).
            begin: called when all is checked and compiled, before anything is launched.

        Raises:
            TypeError: a type of tensor that cannot be stepped.
            ValueError: a shape or a device does not fit.
            RuntimeError: a CUDA graph is captured, and nothing like this was stepped before.
        """
        if not items:
            return
        scale, found = (
            None if one is None else one.to(iterations.device, non_blocking=True) for one in (grad_scale, found_inf)
        )
        with torch.no_grad(), _device_of(items):
            call = self._call(items)
            launches = self._prepared(call)
            launches.run(call.tensors, call.groups, call.rates, iterations, scale, found, squares, begin)
            for parameter, copy in call.returns:
                parameter.copy_(copy)
        written = [tensor for item in call.items for tensor in (item.variable, *item.slots.values())]
        # Autograd cannot see what a kernel writes: a graph that needs an old value would silently use the new one.
        torch.autograd.graph.increment_version([*written, iterations])

    def square_sums(self, items: Sequence[Item], grad_scale: Tensor | None = None) -> Tensor:
        """Return the sum of the squares of each gradient that a norm scales, float64, on the device; 0 for the others.

        The next call uses the tensor again. With `grad_scale`, the sums are those of the gradients without it.
        """
        if not items:
            return torch.zeros(0, dtype=torch.float64)
        with torch.no_grad(), _device_of(items):
            call = self._call(items)
            return self._prepared(call).sum_squares(call.tensors, grad_scale)

    def _call(self, items: Sequence[Item]) -> Call:
        call = Call([_as_real(item) if item.variable.is_complex() else item for item in items], self._seen)
        self._seen = call.seen
        return call

    def _prepared(self, call: Call) -> Launches:
        """Return the launches for a call; gradients that share memory with what is written are copied."""
        device = call.items[0].variable.device
        captures = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if not (call.looks == self._overlaps[0] and numpy.array_equal(call.tensors, self._overlaps[1])):
            # Only where something moved: this takes a while.
            self._overlaps = call.looks, call.tensors.copy(), call.overlapping()
        call.separate(self._overlaps[2])
        pattern = (device, len(call.groups), call.aligned())
        if self._last is None or pattern != self._last[0] or call.looks != self._last[1]:
            tensors = tuple(tensor_of(*one) for one in zip(call.looks, *pattern[2], strict=True))
            up = tuple(look.maximize for look in call.looks)
            key = (*pattern[:2], tensors, up)
            launches = self._launches.pop(key, None)
            if launches is None:
                if captures:
                    raise RuntimeError(
                        "the first step of these parameters is within the capture of a CUDA graph, where nothing can "
                        "be compiled: do one with gradients of the same types and strides before it"
                    )
                launches = Launches(tensors, up, len(call.groups), device)
            if len(self._launches) >= _PATTERNS:
                self._launches.pop(next(iter(self._launches)))
            self._launches[key] = launches  # at the end, farthest from being dropped
            self._last = pattern, call.looks, launches
        launches = self._last[2]
        if captures and launches not in self._captured:
            self._captured.append(launches)  # replays use its memory even if it is dropped here
        return launches


def _as_real(item: Item) -> Item:
    """Return an item whose complex numbers are pairs of real numbers in the same memory."""
    gradient = item.gradient
    if gradient.layout is torch.sparse_coo:
        gradient = gradient.coalesce().to_dense()
    variable, gradient = (torch.view_as_real(one.detach().resolve_conj()) for one in (item.variable, gradient))
    slots = {name: torch.view_as_real(slot) for name, slot in item.slots.items()}
    return item._replace(variable=variable, gradient=gradient, slots=slots)


def _device_of(items: Sequence[Item]) -> Any:
    """Return a context in which the items' device is the current one, on which Triton launches."""
    device = items[0].variable.device
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
