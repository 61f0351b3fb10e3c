"""A whole step on the tensors of one CUDA device: what lies how, which tables a step fills in, and the launches.

What holds for a pattern of tensors is worked out once and kept. A step then reads addresses, compares them with the last
step's, and launches; nothing waits for the device.

* A gradient that lies in memory as its parameter does is read where it is. One that does not is copied into the parameter's
  order first, and to the device's own order of rows for a norm, which is defined on that order.
* A parameter with gaps or repeated memory is stepped in a copy without gaps, which is copied back.
* A sparse gradient is coalesced, rows of half types in float32, and made dense: tf_keras lets the averages of untouched rows
  decay, so the whole parameter is written to anyway. Coalescing waits for the device, because the number of rows must be
  known.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy
import torch
from torch import Tensor

from rmsprop._options import Options
from rmsprop._slots import slots as slots_of
from rmsprop.compilers._triton_tables import GROUP_COLUMNS, TENSOR_WIDTH, Doubles, Integers
from rmsprop.compilers.triton import FLAGS, Kind, Launches
from rmsprop.engines._scalars import changing, constants

Rate = float | Tensor

#: Plans kept: gradients may come and go in a few patterns, not in endless ones.
_PLANS: Final = 16

_SLOTS: Final = ("velocity", "momentum", "average_gradient", "average")

_NAMES: Final = {
    torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64",
}  # fmt: skip


class Item(NamedTuple):
    """One parameter of a step; complex ones come as `torch.view_as_real` gives them.

    Attributes:
        parameter: what is stepped.
        gradient: of its shape, dense or sparse COO.
        slots: slot name -> tensor, without gaps, its axes in memory as the parameter's (`torch.empty_like` makes one).
        decays: whether weight decay applies, if it is on.
        options: the checked arguments of its group; None: the engine's.
        learning_rate: of its group; None: the step's.
    """

    parameter: Tensor
    gradient: Tensor
    slots: dict[str, Tensor]
    decays: bool
    options: Options | None = None
    learning_rate: Rate | None = None


class _Look(NamedTuple):
    """What a `Kind` is worked out from, compared at every step."""

    types: tuple[torch.dtype, torch.dtype, torch.dtype]
    shape: torch.Size
    strides: tuple[int, ...]
    decays: bool
    options: Options
    group: int


class Cuda:
    """Steps parameters that are on one device.

    Args:
        options: the checked arguments of items that have none of their own.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._pattern: Any = None
        self._last: Any = None
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
    ) -> None:
        """Advance all parameters by one step.

        Args:
            items: parameters of the step, all on one device.
            learning_rate: a number, or a tensor of one number on the device, which is read there.
            iterations: steps done before, an int64 tensor without axes on the device, which is counted up there.
            grad_scale: what the loss was multiplied by, a tensor of one float on the device; None without.
            found_inf: tensor of one float on the device: not zero, and the step changes nothing.
            squares: float64 tensor, for each item the sum of its gradient's squares, if not those of the gradients here:
                where a parameter is distributed, of all its parts (`square_sums` gives those of one).

        Raises:
            TypeError: a type of tensor that cannot be stepped.
            ValueError: a shape or a device does not fit.
        """
        if not items:
            return
        with torch.no_grad(), _device_of(items):
            call = _Call(self._options, items, learning_rate)
            launches = self._prepared(call)
            launches.run(call.tensors, call.groups, call.rates, iterations, grad_scale, found_inf, squares)
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
            call = _Call(self._options, items, 0.0)
            return self._prepared(call).sum_squares(call.tensors, call.groups, grad_scale)

    def _prepared(self, call: "_Call") -> Launches:
        """Find the launches for a call's pattern of tensors, or make them."""
        device = call.items[0].parameter.device
        pattern = (device, len(call.groups), call.aligned(), call.looks)
        if pattern == self._pattern:
            launches = self._last
        else:
            kinds = tuple(_kind(*one) for one in zip(call.looks, *pattern[2], strict=True))
            launches = self._find(kinds, len(call.groups), device)
        self._pattern, self._last = pattern, launches
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing() and launches not in self._captured:
            self._captured.append(launches)  # replays use its memory even if it is dropped here
        return launches

    def _find(self, kinds: tuple[Kind, ...], groups: int, device: torch.device) -> Launches:
        key = (device, groups, kinds)
        launches = self._launches.pop(key, None)
        if launches is None:
            launches = Launches(kinds, groups, device)
        if len(self._launches) >= _PLANS:
            self._launches.pop(next(iter(self._launches)))
        self._launches[key] = launches  # at the end, farthest from being dropped
        return launches

    def __deepcopy__(self, memo: Any) -> "Cuda":
        # Tables and memory belong to these parameters.
        return Cuda(self._options)

    def __reduce__(self) -> Any:
        return Cuda, (self._options,)


class _Call:
    """The tables of one step.

    Attributes:
        items: what is stepped.
        looks: what each of them is like.
        tensors: the tensor table.
        groups: the group table.
        rates: for groups whose learning rate is a tensor, the group and the tensor.
        returns: parameters that are stepped in a copy, and the copy.
    """

    def __init__(self, default: Options, items: Sequence[Item], learning_rate: Rate) -> None:
        self.items, self.rates = items, list[tuple[int, Tensor]]()
        self.looks, self.returns = list[_Look](), list[tuple[Tensor, Tensor]]()
        self._held: list[Tensor] = []  # until the kernels are launched: torch reuses memory in the stream's order
        self._numbers: dict[Any, int] = {}
        self._groups: list[tuple[Options, Rate]] = []
        rows: list[list[int]] = []
        for item in items:
            options = default if item.options is None else item.options
            rate = learning_rate if item.learning_rate is None else item.learning_rate
            rows.append(self._row(item, options, self._group(options, rate)))
        self.tensors: Integers = numpy.array(rows, numpy.int64)
        self.groups = self._group_table()

    def aligned(self) -> tuple[list[bool], list[bool]]:
        """Tell which tensors begin at multiples of 16 bytes with all of their arrays, and with the one for norms."""
        odd = self.tensors[:, 2:] % 16 != 0
        return (~odd[:, :-1].any(axis=1)).tolist(), (~odd[:, -1]).tolist()

    def _group(self, options: Options, rate: Rate) -> int:
        key = (id(options), id(rate) if isinstance(rate, Tensor) else rate)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._groups)
            self._groups.append((options, rate))
        return number

    def _group_table(self) -> Doubles:
        table: Doubles = numpy.zeros((len(self._groups), len(GROUP_COLUMNS)))
        for number, (options, rate) in enumerate(self._groups):
            row = constants(options, decays=True)
            if isinstance(rate, Tensor):
                self.rates.append((number, rate))
            else:
                row["learning_rate"] = rate
            row["limit"] = options.clipnorm or options.global_clipnorm or 0.0
            row["frequency"] = options.ema_overwrite_frequency or 0 if options.use_ema else 0
            table[number] = [row.get(name, 0.0) for name in GROUP_COLUMNS]
        return table

    def _row(self, item: Item, options: Options, group: int) -> list[int]:
        """Fill in a row of the tensor table, with copies where something does not lie as the kernels need it."""
        parameter, gradient, slots, decays, _, _ = item
        shape, strides = parameter.shape, parameter.stride()
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
        types = (gradient.dtype, parameter.dtype, velocity.dtype)
        self.looks.append(_Look(types, shape, strides, decays, options, group))
        found = [parameter.numel(), group, gradient.data_ptr(), parameter.data_ptr()]
        for name in _SLOTS:
            slot = slots.get(name)
            if slot is None:
                found.append(0)
                continue
            if slot.dtype != types[2] or not _lies(shape, slot.stride(), strides):
                raise ValueError(
                    f"{name} is {slot.dtype} with strides {slot.stride()}: {types[2]} with {strides} is needed"
                )
            found.append(slot.data_ptr())
        found.append(row_major.data_ptr())
        return found

    def _hold(self, tensor: Tensor) -> Tensor:
        self._held.append(tensor)
        return tensor


def _kind(look: _Look, aligned: bool, norm_aligned: bool) -> Kind:
    """Work out what a launch must know of a tensor."""
    options = look.options
    for dtype in look.types:
        if dtype not in _NAMES:
            raise TypeError(f"a tensor has the type {dtype}: float16, bfloat16, float32 or float64 is needed")
    on = {*constants(options, look.decays), *changing(options), *(slot.name for slot in slots_of(options))}
    clip = "own" if options.clipnorm is not None else "global" if options.global_clipnorm is not None else ""
    gradient, variable, slots = (_NAMES[dtype] for dtype in look.types)
    flags = tuple(name in on for name in FLAGS)
    return Kind(look.shape.numel(), gradient, variable, slots, flags, look.group, clip, aligned, norm_aligned)


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


def _device_of(items: Sequence[Item]) -> Any:
    """Make the items' device the current one, on which Triton launches."""
    device = items[0].parameter.device
    return torch.cuda.device(device) if device.type == "cuda" else torch.device(device)
