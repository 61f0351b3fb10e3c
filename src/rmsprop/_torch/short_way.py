"""The short way of a step like the one before: one call of compiled code finds that no tensor has changed.

Kernels are given addresses. So type and shape, address, and size of the storage must all be as they were: memory may be
viewed as another type where it is, and be resized under its tensors.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final, final

import numpy
import torch
from torch import Tensor
from torch.nn import Parameter

from rmsprop._core import objects
from rmsprop._core.arrays import MemoryMap
from rmsprop._core.items import Item
from rmsprop._core.objects import word, words
from rmsprop._torch.arrays import reach
from rmsprop._torch.interface import Gradients, Group

# Each call of these makes a class. Not of the kind that releases the interpreter's lock: no thread may change a tensor
# while it is looked at.
_LOOK: Final = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ASK: Final = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)

# Through `map`, these are the cheapest reads of many objects.
_gradient, _values = attrgetter("grad"), dict.values

#: Words of a tensor's object that are searched for its `_cdata`.
_WORDS: Final = 12

_Row = dict[str, int]


@final
class ShortWay:
    """What a step was like, and where to write the addresses of gradients.

    Args:
        places: for each item, the address of the word for the address of its gradient; 0 for a sparse one.
        memory: what the step writes to.
        locate_rows: of a sparse gradient, given its place among the items, writes where it is, and returns what must
            live until the step is done; None if it has changed.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        items: Sequence[Item],
        states: Mapping[Tensor, dict[str, Any]],
        unscales: bool,
        places: Sequence[int],
        memory: MemoryMap,
        locate_rows: Callable[[int, Tensor], Any],
    ) -> None:
        from rmsprop._torch import tensor_looks

        self._unscales, self._threads = unscales, torch.get_num_threads()
        self._options = [(group.options, group.maximize) for group in groups]
        self._lengths = [len(group.parameters) for group in groups]
        parameters = [parameter for group in groups for parameter in group.parameters]
        moving = {id(item.variable) for item in items}
        self._moves = [id(parameter) in moving for parameter in parameters]
        self._all_move = all(self._moves)
        # The parameters of the state, and the names of the slots, count as well.
        names = [*chain.from_iterable(states.values())]
        tensors = [*parameters, *states, *chain.from_iterable(map(_values, states.values()))]
        gradients = [item.gradient for item, place in zip(items, places, strict=True) if place]
        self._sparse, self._locate_rows = [number for number, place in enumerate(places) if not place], locate_rows
        self._held: list[Any] = [names, tensors]  # what the table has addresses of
        written = {id(tensor) for item in items for tensor in (item.variable, *item.slots.values())}
        twice = range(len(parameters), len(parameters) + len(states))  # parameters with state, looked at before
        rows = [_row_of_same(name) for name in names]
        rows += [
            self._row_of_written(tensor) if id(tensor) in written and place not in twice else _row_of_same(tensor)
            for place, tensor in enumerate(tensors)
        ]
        rows += [
            self._row(gradient, reach(gradient)) | {"to": place}
            for gradient, place in zip(gradients, filter(None, places), strict=True)
        ]
        # A real tensor that negates another has the gaps of complex numbers between its own, or is a single number:
        # there is no public function that makes others.
        self._may_negate = [
            place
            for place, one in enumerate((*tensors, *gradients), len(names))
            if not one.is_contiguous() or one.numel() <= 1
        ]
        starts, ends = memory.intervals()
        head = {
            "count": len(rows), "cdata": _cdata_at(), "type": objects.TYPE, "length": objects.LENGTH,
            "intervals": len(starts), "starts": self._words(starts), "ends": self._words(ends), **_functions(),
        }  # fmt: skip
        table = [head.get(name, 0) for name in tensor_looks.HEADER]
        table += [row.get(name, 0) for row in rows for name in tensor_looks.LOOK]
        self._address, self._look = self._words(table), _look()

    def _row_of_written(self, one: Tensor) -> _Row:
        """Return the row of a tensor that the step writes to: it must be the same object at the same address."""
        same = {"object": id(one), "tensor": one._cdata, "data": one.data_ptr()}
        return self._row(one, one.untyped_storage().nbytes()) | same

    def _row(self, one: Tensor, nbytes: int) -> _Row:
        return {
            "type": id(Tensor), "other type": id(Parameter), "axes": one.ndim, "bytes": nbytes,
            "lengths": self._words(one.shape), "strides": self._words(one.stride()), "itemsize": one.itemsize,
            "layout": _ask("layout", one), "device": _ask("device_type", one), "dtype": _ask("dtype", one),
        }  # fmt: skip

    def _words(self, numbers: Sequence[int]) -> int:
        """Return the address of int64 words that live as long as this."""
        self._held.append(numpy.array([*numbers, 0], numpy.int64))
        return int(self._held[-1].ctypes.data)

    def _parameters(self, groups: Sequence[Group]) -> Sequence[Tensor] | None:
        """Return the parameters of all groups; None if options differ, or a parameter is in another group."""
        if len(groups) == 1 == len(self._options):
            group, (options, up) = groups[0], self._options[0]
            same = group.maximize is up and (group.options is options or group.options == options)
            return group.parameters if same else None
        if [(group.options, group.maximize) for group in groups] != self._options:
            return None
        lists = [group.parameters for group in groups]
        return [*chain.from_iterable(lists)] if [*map(len, lists)] == self._lengths else None

    def gradients(
        self, groups: Sequence[Group], states: Mapping[Tensor, dict[str, Any]], unscales: bool, given: Gradients
    ) -> Sequence[Any] | None:
        """Return the gradients if nothing has changed but their addresses and their numbers; else None.

        The gradients must live until the step is done: their addresses are written down.
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
        rows = [self._locate_rows(number, found[number]) for number in self._sparse]
        return None if any(one is None for one in rows) else [*found, *rows]


def _row_of_same(one: Any) -> _Row:
    """Return the row of what must be the same object, and if it is a tensor, the same tensor; no more is compared."""
    return {"object": id(one), "tensor": word(id(one) + _cdata_at()), "device": -1}


@cache
def _cdata_at() -> int:
    """Return the bytes from a tensor's object to its `_cdata`; 0 if they are not the same in all tensors of a trial."""
    one = torch.zeros(4, 6, device="cpu")
    tensors = (one, one[1:], Parameter(one), Parameter(one.double(), requires_grad=False), one[0, 0])
    begin = object.__basicsize__
    places = range(begin, min(Tensor.__basicsize__, begin + 8 * _WORDS), 8)
    found = [at for at in places if all(word(id(tensor) + at) == tensor._cdata for tensor in tensors)]
    return found[0] if found else 0


def _ask(question: str, tensor: Tensor) -> int:
    """Ask one thing of a tensor, through torch's C interface; -2 if there is no answer."""
    answer = ctypes.c_int64(0)
    function = _ASK(_functions()[f"aoti_torch_get_{question}"])
    return answer.value if function(id(tensor) + _cdata_at(), ctypes.addressof(answer)) == 0 else -2


@cache
def _look() -> Callable[[int, int], int]:
    from rmsprop._core.cpu import looks
    from rmsprop._core.cpu.kernels import c_function
    from rmsprop._torch import tensor_looks

    return _LOOK(c_function(tensor_looks.look, "int64(int64, int64)", tensor_looks, looks))


@cache
def _functions() -> dict[str, int]:
    """Return the addresses of torch's functions; none if one is missing."""
    from rmsprop._torch import tensor_looks

    try:
        library = ctypes.CDLL(torch._C.__file__)
        found = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in tensor_looks.FUNCTIONS}
    except (OSError, AttributeError):
        return {}
    return {name: address or 0 for name, address in found.items()}


@cache
def is_open() -> bool:
    """Return whether torch has the functions, and a trial with tensors of all kinds finds their answers right."""
    if not _functions() or not objects.are_known() or not _cdata_at():
        return False
    base = torch.zeros(4, 6, device="cpu")
    tensors = (base, base[1:, ::2], base.t(), base.double(), base.bfloat16()[0], torch.zeros((), device="cpu"))
    for one in tensors:
        wanted = {
            "dim": one.ndim, "data_ptr": one.data_ptr(), "storage_size": one.untyped_storage().nbytes(),
            "storage_offset": one.storage_offset(),
        }  # fmt: skip
        if (
            word(id(one) + objects.TYPE) != id(Tensor)
            or any(_ask(question, one) != answer for question, answer in wanted.items())
            or words(_ask("sizes", one), one.ndim) != tuple(one.shape)
            or words(_ask("strides", one), one.ndim) != one.stride()
        ):
            return False
    types = {one.dtype: _ask("dtype", one) for one in tensors}
    layouts = {_ask("layout", one) for one in (base, base.to_sparse())}
    devices = {_ask("device_type", one) for one in (base, base.to("meta"))}
    return len({*types.values()}) == len(types) and len(layouts) == len(devices) == 2
