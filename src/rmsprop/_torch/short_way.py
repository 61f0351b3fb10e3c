"""The short way of a step like the one before: one call of compiled code finds that all tensors are as they were.

Kernels are given addresses. So what a tensor looks like, where it is and how large its storage is must be what was
written down, all three: memory may be viewed anew as another type where it is, and be resized under its tensors.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import numpy
import torch
from torch import Tensor
from torch.nn import Parameter

from rmsprop._core import objects
from rmsprop._core.arrays import MemoryMap
from rmsprop._core.items import Item
from rmsprop._core.objects import word, words
from rmsprop._core.plan import Integers
from rmsprop._torch.arrays import reach
from rmsprop._torch.items import Group

# Each call of these makes a class. Not of those kinds that release the interpreter's lock: nobody may change a tensor
# while it is looked at.
_LOOK: Final = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ASK: Final = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)

# Called through `map`, these are the cheapest ways to ask many objects.
_gradient, _values = attrgetter("grad"), dict.values


class ShortWay:
    """What a step was like.

    Args:
        groups: the parameter groups.
        items: parameters that the step moves.
        states: parameter -> slot name -> tensor, as the step has left it.
        unscales: whether gradients are multiplied by a number first.
        places: for each item, the address of the word that is to hold where its gradient is; 0 for a sparse one.
        memory: what the step writes to.
        take_rows: of a sparse gradient, given its place among the items, says to the run where it is, and gives what
            must live until the step is done; None if it is not as it was.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        items: Sequence[Item],
        states: Mapping[Tensor, dict[str, Any]],
        unscales: bool,
        places: Sequence[int],
        memory: MemoryMap,
        take_rows: Callable[[int, Tensor], Any],
    ) -> None:
        from rmsprop._torch import tensor_looks

        self._unscales, self._threads = unscales, torch.get_num_threads()
        self._options = [(group.options, group.maximize) for group in groups]
        self._lengths = [len(group.parameters) for group in groups]
        parameters = [parameter for group in groups for parameter in group.parameters]
        moving = {id(item.variable) for item in items}
        self._moves = [id(parameter) in moving for parameter in parameters]
        self._all_move = all(self._moves)
        # Whose state it is, and the names of the slots, count as well.
        names = [*chain.from_iterable(states.values())]
        tensors = [*parameters, *states, *chain.from_iterable(map(_values, states.values()))]
        gradients = [item.gradient for item, place in zip(items, places, strict=True) if place]
        self._sparse, self._take_rows = [number for number, place in enumerate(places) if not place], take_rows
        self._kept: list[Any] = [names, tensors]  # what the table holds addresses of
        written = {id(tensor) for item in items for tensor in (item.variable, *item.slots.values())}
        known = len(parameters) + len(states)  # a parameter with state is there twice, and looked at once
        rows = [_row_of_same(name) for name in names]
        rows += [
            self._row_of(tensor, looks=id(tensor) in written and not len(parameters) <= place < known)
            for place, tensor in enumerate(tensors)
        ]
        rows += [
            self._row(gradient, reach(gradient), to=place)
            for gradient, place in zip(gradients, filter(None, places), strict=True)
        ]
        # A real tensor that negates another has the gaps of complex numbers between its own, or is a single number:
        # there is no public function that makes others.
        self._may_negate = [place for place, one in enumerate((*tensors, *gradients), len(names)) if _may_negate(one)]
        starts, ends = memory.intervals()
        head = {"count": len(rows), "cdata": _cdata_at(), "type": objects.TYPE, "length": objects.LENGTH}
        head |= {"intervals": len(starts), "starts": self._words(starts), "ends": self._words(ends)}
        head |= _functions() or {}
        begin = [head.get(name, 0) for name in tensor_looks.HEADER]
        self._table: Integers = numpy.array([*begin, *chain.from_iterable(rows)], numpy.int64)
        self._address = self._table.ctypes.data
        self._look = _look()

    def _row_of(self, tensor: Tensor, looks: bool) -> list[int]:
        """Give the row of a parameter or a slot, which must be the same object; without `looks`, no more than that."""
        if not looks:
            return _row_of_same(tensor)
        fixed = {"object": id(tensor), "tensor": tensor._cdata, "data": tensor.data_ptr()}
        return self._row(tensor, tensor.untyped_storage().nbytes(), **fixed)

    def _row(self, one: Tensor, nbytes: int, /, **fixed: int) -> list[int]:
        handle = id(one) + _cdata_at()
        found = {name: _ask(f"aoti_torch_get_{question}", handle) for name, question in _QUESTIONS.items()}
        found |= {"type": id(Tensor), "other type": id(Parameter), "axes": one.ndim, "bytes": nbytes}
        found |= {"lengths": self._words(one.shape), "strides": self._words(one.stride())}
        found["itemsize"] = one.itemsize
        found |= fixed
        return _in_order(found)

    def _words(self, numbers: Sequence[int]) -> int:
        found: Integers = numpy.array([*numbers, 0], numpy.int64)
        self._kept.append(found)
        return found.ctypes.data

    def _parameters(self, groups: Sequence[Group]) -> Sequence[Tensor] | None:
        """List the parameters of all groups; None if options differ, or a parameter is in another group."""
        if len(groups) == 1 == len(self._options):
            group, (options, up) = groups[0], self._options[0]
            same = group.maximize is up and (group.options is options or group.options == options)
            return group.parameters if same else None
        if [(group.options, group.maximize) for group in groups] != self._options:
            return None
        lists = [group.parameters for group in groups]
        return [*chain.from_iterable(lists)] if [*map(len, lists)] == self._lengths else None

    def gradients(
        self,
        groups: Sequence[Group],
        states: Mapping[Tensor, dict[str, Any]],
        unscales: bool,
        given: Sequence[Tensor | None] | None,
    ) -> Sequence[Any] | None:
        """Give the gradients if all is as it was, with gradients like those of before, wherever they are; else None.

        They must live until the step is done; it knows where they are.
        """
        if unscales is not self._unscales or torch.get_num_threads() != self._threads:
            return None
        parameters = self._parameters(groups)
        if parameters is None:
            return None
        found: Sequence[Any] = [*map(_gradient, parameters)] if given is None else given
        if not self._all_move:
            if [one is not None for one in found] != self._moves:
                return None
            found = [one for one in found if one is not None]
        dense = found
        if self._sparse:
            if len(found) <= self._sparse[-1]:
                return None
            dense = [one for number, one in enumerate(found) if number not in self._sparse]
        kept = states.values()
        known = [*chain.from_iterable(kept), *parameters, *states, *chain.from_iterable(map(_values, kept)), *dense]
        if self._look(self._address, id(known)) != 1:
            return None
        if self._may_negate and any(known[place].is_neg() for place in self._may_negate):
            return None
        if not self._sparse:
            return found
        held = [self._take_rows(number, found[number]) for number in self._sparse]
        return None if any(one is None for one in held) else [*found, *held]


def _in_order(found: Mapping[str, int]) -> list[int]:
    from rmsprop._torch.tensor_looks import LOOK

    return [found.get(name, 0) for name in LOOK]


def _row_of_same(one: Any) -> list[int]:
    """Give the row of what must be the same object, and is not looked at: of a tensor, it must be the same tensor."""
    return _in_order({"object": id(one), "tensor": word(id(one) + _cdata_at()), "device": -1})


def _may_negate(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() or tensor.numel() <= 1


_QUESTIONS = {"layout": "layout", "device": "device_type", "dtype": "dtype"}

#: Words of a tensor's object among which its `_cdata` is.
_WORDS = 12


@cache
def _cdata_at() -> int:
    """Find how many bytes from a tensor's object its `_cdata` is; 0 if not at one place in all of some tensors."""
    one = torch.zeros(4, 6, device="cpu")
    tensors = (
        one,
        one[1:],
        Parameter(one),
        Parameter(one.double(), requires_grad=False),
        torch.zeros((), device="cpu"),
    )
    begin = object.__basicsize__
    places = range(begin, min(Tensor.__basicsize__, begin + 8 * _WORDS), 8)
    found = [at for at in places if all(word(id(tensor) + at) == tensor._cdata for tensor in tensors)]
    return found[0] if found else 0


def _ask(name: str, handle: int) -> int:
    answer = ctypes.c_int64(0)
    function = _ASK((_functions() or {})[name])
    return answer.value if function(handle, ctypes.addressof(answer)) == 0 else -2


@cache
def _look() -> Callable[[int, int], int]:
    from rmsprop._core.cpu import looks
    from rmsprop._core.cpu.kernels import c_function
    from rmsprop._torch import tensor_looks

    address = c_function(tensor_looks.look, "int64(int64, int64)", tensor_looks, looks)
    return _LOOK(address)


@cache
def _functions() -> dict[str, int] | None:
    """Give the addresses of torch's functions; None if one is missing."""
    from rmsprop._torch import tensor_looks

    try:
        library = ctypes.CDLL(torch._C.__file__)
        found = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in tensor_looks.FUNCTIONS}
    except (OSError, AttributeError):
        return None
    return {name: address or 0 for name, address in found.items()}


@cache
def is_open() -> bool:
    """Whether torch has the functions, and they answer what its tensors say: a trial with tensors of all kinds."""
    if _functions() is None or not objects.are_known() or not _cdata_at():
        return False
    base = torch.zeros(4, 6, device="cpu")
    tensors = (base, base[1:, ::2], base.t(), base.double(), base.bfloat16()[0], torch.zeros((), device="cpu"))
    types = {}
    for tensor in tensors:
        handle = id(tensor) + _cdata_at()
        types[tensor.dtype] = _ask("aoti_torch_get_dtype", handle)
        if (
            word(id(tensor) + objects.TYPE) != id(Tensor)
            or _ask("aoti_torch_get_dim", handle) != tensor.ndim
            or _ask("aoti_torch_get_data_ptr", handle) != tensor.data_ptr()
            or _ask("aoti_torch_get_storage_size", handle) != tensor.untyped_storage().nbytes()
            or _ask("aoti_torch_get_storage_offset", handle) != tensor.storage_offset()
            or words(_ask("aoti_torch_get_sizes", handle), tensor.ndim) != tuple(tensor.shape)
            or words(_ask("aoti_torch_get_strides", handle), tensor.ndim) != tensor.stride()
        ):
            return False
    sparse, meta = base.to_sparse(), base.to("meta")
    layouts = {_ask("aoti_torch_get_layout", id(one) + _cdata_at()) for one in (base, sparse)}
    devices = {_ask("aoti_torch_get_device_type", id(one) + _cdata_at()) for one in (base, meta)}
    return len({*types.values()}) == len(types) and len(layouts) == len(devices) == 2
