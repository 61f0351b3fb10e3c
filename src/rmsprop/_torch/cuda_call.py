"""The tables of one step on CUDA: where everything is, and copies of what does not lie as the kernels need it.

* A gradient that lies in memory as its parameter does is read where it is. One that does not is copied into the
  parameter's order first, and into row-major order for a norm, which is defined on that order.
* A parameter with gaps is stepped in a copy without, which is copied back.
* A sparse gradient is coalesced, rows of half types in float32, and made dense: in tf_keras's RMSprop the averages of
  untouched rows decay, so the whole parameter is written to anyway. Coalescing waits for the device, because the number
  of rows must be known.
* A gradient that shares memory with what the step writes is copied, unless it is its parameter's own memory.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy
import torch
from torch import Tensor

from rmsprop._core.cuda.tables import GROUP_COLUMNS, TENSOR_WIDTH, Doubles, Integers
from rmsprop._core.options import Options
from rmsprop._core.scalars import constants
from rmsprop._core.slots import slots as slots_of
from rmsprop._torch.cuda_items import Item, Look, Rate

_SLOTS: Final = ("velocity", "momentum", "average_gradient", "average")


class _Seen(NamedTuple):
    """What an item was like of which nothing had to be copied: if it still is, only its gradient may have moved."""

    parameter: tuple[int, torch.dtype, torch.Size, tuple[int, ...]]
    gradient: tuple[torch.dtype, torch.Size, tuple[int, ...]]
    slots: list[tuple[int, torch.dtype, torch.Size, tuple[int, ...]]]
    look: Look


class Call:
    """The tables of one step.

    Args:
        default: options of items that have none.
        items: what is stepped.
        learning_rate: of items that have none.
        last: the call before, if any, of which only `seen` and `tensors` are used.

    Attributes:
        items: what is stepped.
        looks: what each of them is like.
        seen: likewise, in more detail, None where something had to be copied.
        tensors: the tensor table.
        groups: the group table.
        rates: for groups whose learning rate is a tensor, the group and the tensor.
        returns: parameters that are stepped in a copy, and the copy.
    """

    def __init__(self, default: Options, items: Sequence[Item], learning_rate: Rate, last: "Seen | None") -> None:
        self.items, self.rates = items, list[tuple[int, Tensor]]()
        self.looks, self.returns = list[Look](), list[tuple[Tensor, Tensor]]()
        self._gradients: list[Tensor] = []
        self._held: list[Tensor] = []  # until the kernels are launched: torch reuses memory in the stream's order
        self._numbers: dict[Any, int] = {}
        self._groups: list[tuple[Options, Rate, bool]] = []
        if last is None or len(last.items) != len(items):
            last = Seen([None] * len(items), numpy.zeros((len(items), TENSOR_WIDTH), numpy.int64))
        self.seen, self.tensors = last.items, last.tensors.copy()
        self._fill_in(default, learning_rate)
        self.groups = self._group_table()

    def _fill_in(self, default: Options, learning_rate: Rate) -> None:
        rows: dict[int, list[int]] = {}
        addresses: list[int] = []
        before: tuple[Any, Any, Any] = (None, None, None)
        group = 0
        for place, (item, seen) in enumerate(zip(self.items, self.seen, strict=True)):
            options = default if item.options is None else item.options
            rate = learning_rate if item.learning_rate is None else item.learning_rate
            up = item.maximize
            if not (options is before[0] and rate is before[1] and up is before[2]):
                before, group = (options, rate, up), self._group(options, rate, up)
            if seen is not None and _is_as_seen(item, options, group, seen):
                self.looks.append(seen.look)
                self._gradients.append(item.gradient)
                addresses.append(item.gradient.data_ptr())
            else:
                rows[place] = self._row(item, options, group)
                addresses.append(rows[place][2])
        self.tensors[:, 2] = self.tensors[:, 8] = addresses
        if rows:
            self.seen = list(self.seen)
        for place, row in rows.items():
            self.tensors[place] = row
            as_is = self._gradients[place] is self.items[place].gradient and row[2] == row[8] and not self.returns
            self.seen[place] = _see(self.items[place], self.looks[place]) if as_is else None

    def aligned(self) -> tuple[list[bool], list[bool]]:
        """Tell which tensors begin at multiples of 16 bytes with all of their arrays, and with the one for norms."""
        odd = self.tensors[:, 2:] % 16 != 0
        return (~odd[:, :-1].any(axis=1)).tolist(), (~odd[:, -1]).tolist()

    def overlapping(self) -> list[int]:
        """List the items whose gradient shares memory with what is written, but for its parameter's own memory."""
        sizes = self.tensors[:, :1]
        widths = [[one.itemsize for one in (look.types[1], *(len(_SLOTS) * look.types[2:]))] for look in self.looks]
        starts = self.tensors[:, 3:8]
        there = (starts != 0) & (sizes > 0)
        ends = numpy.sort((starts + sizes * numpy.array(widths))[there])
        begin, length = self.tensors[:, 2], sizes[:, 0] * [look.types[0].itemsize for look in self.looks]
        itself = (begin == starts[:, 0]) & numpy.array([look.types[0] == look.types[1] for look in self.looks])
        before = numpy.searchsorted(numpy.sort(starts[there]), begin + length, "left")
        touched = before - numpy.searchsorted(ends, begin, "right")
        found: list[int] = numpy.flatnonzero((touched > itself) & (length > 0)).tolist()
        return found

    def separate(self, numbers: Sequence[int]) -> None:
        """Let the gradients of these items be copies."""
        for number in numbers:
            self.tensors[number, 2] = self._hold(self._gradients[number].clone()).data_ptr()

    def _group(self, options: Options, rate: Rate, up: bool) -> int:
        key = (id(options), id(rate) if isinstance(rate, Tensor) else rate, up)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._groups)
            self._groups.append((options, rate, up))
        return number

    def _group_table(self) -> Doubles:
        table: Doubles = numpy.zeros((len(self._groups), len(GROUP_COLUMNS)))
        for number, (options, rate, up) in enumerate(self._groups):
            row = constants(options, decays=True)
            if isinstance(rate, Tensor):
                self.rates.append((number, rate))
            else:
                row["learning_rate"] = rate
            row["limit"] = options.clipnorm or options.global_clipnorm or 0.0
            row["frequency"] = options.ema_overwrite_frequency or 0 if options.use_ema else 0
            row["direction"] = -1.0 if up else 1.0
            table[number] = [row.get(name, 0.0) for name in GROUP_COLUMNS]
        return table

    def _row(self, item: Item, options: Options, group: int) -> list[int]:
        """Fill in a row of the tensor table, with copies where something does not lie as the kernels need it."""
        parameter, gradient, slots, decays, _, _, maximize = item
        shape, strides = parameter.shape, parameter.stride()
        if missing := [slot.name for slot in slots_of(options) if slot.name not in slots]:
            raise ValueError(f"a parameter of shape {tuple(shape)} has no state {', '.join(missing)}")
        velocity = slots["velocity"]
        if gradient.layout is not torch.strided:
            gradient = self._hold(_dense(gradient, shape))
        if gradient.shape != shape or gradient.device != parameter.device:
            raise ValueError(
                f"the gradient has the shape {tuple(gradient.shape)} on {gradient.device}, "
                f"its parameter {tuple(shape)} on {parameter.device}"
            )
        if not _has_no_gaps(shape, strides):
            copy = self._hold(torch.empty_like(parameter).copy_(parameter))
            self.returns.append((parameter, copy))
            parameter, strides = copy, copy.stride()
        if not _lies(shape, gradient.stride(), strides) or gradient.is_neg():
            # `to` would keep the gradient's own order.
            gradient = self._hold(torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient))
        row_major = gradient
        if options.clips_by_norm and not gradient.is_contiguous():
            row_major = self._hold(gradient.contiguous())
        self._gradients.append(gradient)
        types = (gradient.dtype, parameter.dtype, velocity.dtype)
        self.looks.append(Look(types, shape, strides, decays, options, group, maximize))
        found = [parameter.numel(), group, gradient.data_ptr(), parameter.data_ptr()]
        for name in _SLOTS:
            slot = slots.get(name)
            if slot is not None:
                _check_slot(name, slot, parameter, velocity)
            found.append(0 if slot is None else slot.data_ptr())
        found.append(row_major.data_ptr())
        return found

    def _hold(self, tensor: Tensor) -> Tensor:
        self._held.append(tensor)
        return tensor


class Seen(NamedTuple):
    """What a call leaves for the next one; it holds no tensors."""

    items: list[_Seen | None]
    tensors: Integers


def _see(item: Item, look: Look) -> _Seen:
    parameter, gradient, slots, *_ = item
    return _Seen(
        (parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride()),
        (gradient.dtype, gradient.shape, gradient.stride()),
        [(slot.data_ptr(), slot.dtype, slot.shape, slot.stride()) for slot in slots.values()],
        look,
    )


def _is_as_seen(item: Item, options: Options, group: int, seen: _Seen) -> bool:
    """Whether only the gradient's address may differ from the last step's; asked for every item at every step."""
    parameter, gradient, slots, decays, _, _, maximize = item
    look = seen.look
    return (
        gradient.layout is torch.strided
        and (gradient.dtype, gradient.shape, gradient.stride()) == seen.gradient
        and not gradient.is_neg()
        and (parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride()) == seen.parameter
        and [(slot.data_ptr(), slot.dtype, slot.shape, slot.stride()) for slot in slots.values()] == seen.slots
        and options is look.options
        and group == look.group
        and decays == look.decays
        and maximize == look.maximize
    )


def _check_slot(name: str, slot: Tensor, parameter: Tensor, velocity: Tensor) -> None:
    shape, strides, dtype = parameter.shape, parameter.stride(), velocity.dtype
    fits = slot.dtype == dtype and slot.shape == shape and slot.device == parameter.device
    if not (fits and _lies(shape, slot.stride(), strides)):
        raise ValueError(
            f"{name} is {slot.dtype} of shape {tuple(slot.shape)} with strides {slot.stride()} on {slot.device}: "
            f"{dtype} of shape {tuple(shape)} with strides {strides} on {parameter.device} is needed"
        )


def _dense(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Make a sparse gradient dense, duplicates summed in the order in which they come."""
    if gradient.layout is not torch.sparse_coo:
        raise TypeError(f"a gradient has the layout {gradient.layout}: dense or sparse COO is needed")
    if not gradient.is_coalesced() and gradient.dtype.itemsize == 2:
        gradient = gradient.to(torch.float32)
    return gradient.coalesce().to_dense()


def _lies(shape: torch.Size, strides: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether elements lie in the wanted order; the stride of an axis of one element means nothing."""
    if strides == wanted:
        return True
    return all(one == other for one, other, length in zip(strides, wanted, shape, strict=True) if length != 1)


@lru_cache(4096)
def _has_no_gaps(shape: torch.Size, strides: tuple[int, ...]) -> bool:
    """Whether the elements are one block of memory, whatever the order of the axes."""
    expected = 1
    for stride, length in sorted((stride, length) for stride, length in zip(strides, shape, strict=True) if length > 1):
        if stride != expected:
            return False
        expected *= length
    return True
