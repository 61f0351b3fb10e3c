"""The tables of one step on CUDA: where every array is, and copies of arrays that the kernels cannot read in place.

* A gradient with the strides of its parameter is read in place. Any other is copied into the parameter's order, and
  into row-major order for a norm, which is defined on that order.
* A parameter with gaps is stepped in a copy without gaps, which is copied back.
* A sparse gradient is coalesced, rows of half types in float32, and made dense: the averages of untouched rows decay,
  so the whole parameter is written to anyway. Coalescing waits for the device, because the number of rows must be
  known.
* A gradient that shares memory with what the step writes is copied, unless it is its parameter's own memory.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, final

import numpy
import torch
from torch import Tensor

from rmsprop._core.cuda.tables import GROUP_COLUMNS, TENSOR_COLUMNS, TENSOR_WIDTH, Doubles, Integers
from rmsprop._core.items import Item
from rmsprop._core.rule import STATE
from rmsprop._core.scalars import group_numbers
from rmsprop._core.slots import slots as slots_of
from rmsprop._torch.arrays import to_dense
from rmsprop._torch.cuda_looks import Look

_GRADIENT, _VARIABLE, _ROW_MAJOR = map(TENSOR_COLUMNS.index, ("gradient", "variable", "row_major"))


@final
class Seen(NamedTuple):
    """What a call leaves for the next one: the tensor table, and for each item what `_key` returned and its look.

    Where something had to be copied, there is None for the item. It has no tensors.
    """

    items: list[tuple[Any, Look] | None]
    tensors: Integers


@final
class Call:
    """The tables of one step.

    Attributes:
        looks: what each item is to the planner.
        seen: for the next call.
        tensors: the tensor table.
        groups: the group table.
        rates: for groups whose learning rate is a tensor, the group and the tensor.
        returns: parameters that are stepped in a copy, and the copy.
    """

    def __init__(self, items: Sequence[Item], last: Seen | None) -> None:
        self.items, self.rates = items, list[tuple[int, Tensor]]()
        self.looks, self.returns = list[Look](), list[tuple[Tensor, Tensor]]()
        self._gradients: list[Tensor] = []
        self._held: list[Tensor] = []  # until the kernels are launched: torch reuses memory in the stream's order
        if last is None or len(last.items) != len(items):
            last = Seen([None] * len(items), numpy.zeros((len(items), TENSOR_WIDTH), numpy.int64))
        self.tensors = last.tensors.copy()
        self.seen = Seen(self._fill_in(last.items), self.tensors)
        self.groups = self._group_table()

    def _fill_in(self, last: list[tuple[Any, Look] | None]) -> list[tuple[Any, Look] | None]:
        rows: dict[int, list[int]] = {}
        addresses: list[int] = []
        numbers: dict[int, int] = {}
        for place, (item, seen) in enumerate(zip(self.items, last, strict=True)):
            group = numbers.setdefault(id(item.group), len(numbers))
            if seen is not None and _key(item, group) == seen[0]:
                self.looks.append(seen[1])
                self._gradients.append(item.gradient)
                addresses.append(item.gradient.data_ptr())
            else:
                rows[place] = self._row(item, group)
                addresses.append(rows[place][_GRADIENT])
        self.tensors[:, _GRADIENT] = self.tensors[:, _ROW_MAJOR] = addresses
        found = list(last) if rows else last
        for place, row in rows.items():
            self.tensors[place] = row
            look, item = self.looks[place], self.items[place]
            is_copied = self._gradients[place] is not item.gradient or row[_GRADIENT] != row[_ROW_MAJOR] or self.returns
            found[place] = None if is_copied else (_key(item, look.group), look)
        return found

    def aligned(self) -> tuple[list[bool], list[bool]]:
        """Return for each item whether its arrays begin at multiples of 16 bytes, and whether the norm's array does."""
        odd = self.tensors[:, _GRADIENT:] % 16 != 0
        return (~odd[:, :-1].any(axis=1)).tolist(), (~odd[:, -1]).tolist()

    def overlapping(self) -> list[int]:
        """List the items whose gradient shares memory with what is written, but for its parameter's own memory."""
        sizes = self.tensors[:, :1]
        widths = [[one.itemsize for one in (look.types[1], *(len(STATE[1:]) * look.types[2:]))] for look in self.looks]
        starts = self.tensors[:, _VARIABLE:_ROW_MAJOR]
        there = (starts != 0) & (sizes > 0)
        ends = numpy.sort((starts + sizes * numpy.array(widths))[there])
        begin, length = self.tensors[:, _GRADIENT], sizes[:, 0] * [look.types[0].itemsize for look in self.looks]
        itself = (begin == starts[:, 0]) & numpy.array([look.types[0] == look.types[1] for look in self.looks])
        before = numpy.searchsorted(numpy.sort(starts[there]), begin + length, "left")
        touched = before - numpy.searchsorted(ends, begin, "right")
        found: list[int] = numpy.flatnonzero((touched > itself) & (length > 0)).tolist()
        return found

    def separate(self, numbers: Sequence[int]) -> None:
        """Copy the gradients of these items."""
        for number in numbers:
            self.tensors[number, _GRADIENT] = self._hold(self._gradients[number].clone()).data_ptr()

    def _group_table(self) -> Doubles:
        groups = {id(item.group): item.group for item in self.items}
        table: Doubles = numpy.zeros((len(groups), len(GROUP_COLUMNS)))
        for number, group in enumerate(groups.values()):
            row = group_numbers(group.options) | {"direction": -1.0 if group.maximize else 1.0}
            if isinstance(group.rate, Tensor):
                self.rates.append((number, group.rate))
            else:
                row["learning_rate"] = group.rate
            table[number] = [row.get(name, 0.0) for name in GROUP_COLUMNS]
        return table

    def _row(self, item: Item, group: int) -> list[int]:
        """Return a row of the tensor table, after copies of arrays that the kernels cannot read in place."""
        parameter, gradient, slots, options = item.variable, item.gradient, item.slots, item.group.options
        shape, strides = parameter.shape, parameter.stride()
        if missing := [slot.name for slot in slots_of(options) if slot.name not in slots]:
            raise ValueError(f"a parameter of shape {tuple(shape)} has no state {', '.join(missing)}")
        velocity = slots["velocity"]
        if gradient.layout is torch.sparse_coo:
            gradient = self._hold(to_dense(gradient))
        elif gradient.layout is not torch.strided:
            raise TypeError(f"a gradient has the layout {gradient.layout}: dense or sparse COO is needed")
        if gradient.shape != shape or gradient.device != parameter.device:
            raise ValueError(
                f"the gradient has the shape {tuple(gradient.shape)} on {gradient.device}, "
                f"its parameter {tuple(shape)} on {parameter.device}"
            )
        if not _has_no_gaps(shape, strides):
            copy = self._hold(torch.empty_like(parameter).copy_(parameter))
            self.returns.append((parameter, copy))
            parameter, strides = copy, copy.stride()
        if not _has_strides(gradient, strides) or gradient.is_neg():
            # `to` would keep the gradient's own order.
            gradient = self._hold(torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient))
        row_major = gradient
        if options.clips_by_norm and not gradient.is_contiguous():
            row_major = self._hold(gradient.contiguous())
        self._gradients.append(gradient)
        types = (gradient.dtype, parameter.dtype, velocity.dtype)
        self.looks.append(Look(types, shape, strides, item.decays, options, group, item.group.maximize))
        found = [parameter.numel(), group, gradient.data_ptr(), parameter.data_ptr()]
        for name in STATE[1:]:
            slot = slots.get(name)
            if slot is not None:
                _check_slot(name, slot, parameter, velocity.dtype)
            found.append(0 if slot is None else slot.data_ptr())
        found.append(row_major.data_ptr())
        return found

    def _hold(self, tensor: Tensor) -> Tensor:
        self._held.append(tensor)
        return tensor


def _key(item: Item, group: int) -> Any:
    """Return all that decides a row but the gradient's address; it is compared for every item at every step."""
    parameter, gradient, slots, options = item.variable, item.gradient, item.slots.values(), item.group
    if gradient.layout is not torch.strided:
        return None
    return (
        (gradient.dtype, gradient.shape, gradient.stride(), gradient.is_neg()),
        (parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride()),
        [(slot.data_ptr(), slot.dtype, slot.shape, slot.stride()) for slot in slots],
        (options.options, options.maximize, item.decays, group),
    )


def _check_slot(name: str, slot: Tensor, parameter: Tensor, dtype: torch.dtype) -> None:
    shape, strides = parameter.shape, parameter.stride()
    fits = slot.dtype == dtype and slot.shape == shape and slot.device == parameter.device
    if not (fits and _has_strides(slot, strides)):
        raise ValueError(
            f"{name} is {slot.dtype} of shape {tuple(slot.shape)} with strides {slot.stride()} on {slot.device}: "
            f"{dtype} of shape {tuple(shape)} with strides {strides} on {parameter.device} is needed"
        )


def _has_strides(tensor: Tensor, wanted: tuple[int, ...]) -> bool:
    """Return whether a tensor has these strides; that of an axis of one element means nothing."""
    strides = tensor.stride()
    if strides == wanted:
        return True
    return all(one == other for one, other, length in zip(strides, wanted, tensor.shape, strict=True) if length != 1)


@lru_cache(4096)
def _has_no_gaps(shape: torch.Size, strides: tuple[int, ...]) -> bool:
    """Return whether the elements are one block of memory, in any order of the axes."""
    expected = 1
    for stride, length in sorted((stride, length) for stride, length in zip(strides, shape, strict=True) if length > 1):
        if stride != expected:
            return False
        expected *= length
    return True
