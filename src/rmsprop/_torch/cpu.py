"""Steps on the CPU's memory, in place, by the kernels of the NumPy engine.

`Native` is made for parameters and their state as they are in memory. A step like the one before goes the short way
(`rmsprop._torch.short_way`). Before any other, `takes` asks whether they still are so, and each gradient is looked at.
"""

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any
from weakref import ref

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop._core.arrays import MemoryMap, first_overlap, shares_memory
from rmsprop._core.forks import loading
from rmsprop._core.forms import ITSELF, ROWS, Kind, start_of, to_kernel_form
from rmsprop._core.inplace import Member, Runs, set_gradients, set_rows
from rmsprop._core.items import Item
from rmsprop._core.rows import RowSparse
from rmsprop._core.run import Run
from rmsprop._core.tables import NOTHING, SCALES
from rmsprop._torch.arrays import as_array, gradient_array, is_whole
from rmsprop._torch.items import Group, States
from rmsprop._torch.looks import Looks
from rmsprop._torch.short_way import ShortWay, is_open

#: The public one, in Python, first asks whether it was given one tensor.
_increment_version: Any = getattr(torch._C, "_increment_version", increment_version)

# Called through `map`, these are the cheapest ways to ask many tensors.
_start, _storage, _bytes = torch.Tensor.data_ptr, torch.Tensor.untyped_storage, torch.UntypedStorage.nbytes


class Native:
    """Parameters on the CPU with their state, and the runs that step them.

    Args:
        items: those that have a gradient now.
        groups: for each, the number of its group among those of the step.
        scaled: for each, whether its gradient is multiplied by a number although no norm clips.
        threads: how many a launch may use.
    """

    def __init__(self, items: Sequence[Item], groups: Sequence[int], scaled: Sequence[bool], threads: int) -> None:
        self.parameters = [item.variable for item in items]
        self._slots = [item.slots for item in items]
        self._threads = threads
        self._written = [*self.parameters, *(tensor for slots in self._slots for tensor in slots.values())]
        self._starts = [*map(_start, self._written)]
        self._sizes = [*map(_bytes, map(_storage, self._written))]
        self._looks = Looks(self._written)
        # Used only in steps before which all of this is found to be so still: they keep no memory alive.
        variables = [as_array(parameter, holds=False) for parameter in self.parameters]
        slots = [{name: as_array(tensor, holds=False) for name, tensor in one.items()} for one in self._slots]
        members = zip(items, variables, slots, scaled, turns_of(variables), groups, strict=True)
        self._runs = Runs([_member(*one) for one in members], threads)
        self._groups = sorted({*groups})
        self._memory = MemoryMap([*variables, *(array for mine in slots for array in mine.values())])
        # Of the last step, and how its gradients were in memory.
        self._run: Run | None = None
        self._kinds: list[Kind] = []
        self._is_repeated = False
        self._last: Run | None = None

    def lies_there(self, slots: Sequence[Mapping[str, Tensor]] | None = None) -> bool:
        """Whether memory is as it was: where it was, of the same types and order, and the state of the same tensors."""
        if slots is not None:
            tensors = [tensor for one in slots for tensor in one.values()]
            kept = self._written[len(self.parameters) :]
            if len(tensors) != len(kept) or not all(map(is_, tensors, kept)):
                return False
        return (
            [*map(_start, self._written)] == self._starts
            and [*map(_bytes, map(_storage, self._written))] == self._sizes
            and self._looks.are_of(self._written)
            and torch.get_num_threads() == self._threads
        )

    def takes(self, items: Sequence[Item]) -> bool:
        """Whether it was made for just these parameters, and they lie as they did."""
        mine = self.parameters
        same = len(items) == len(mine) and all(item.variable is one for item, one in zip(items, mine, strict=True))
        return same and self.lies_there([item.slots for item in items])

    def set_options(self, items: Sequence[Item], groups: Sequence[int], scaled: Sequence[bool]) -> None:
        """Take options that may have changed; the state is that of before."""
        self._run = None
        self._groups = sorted({*groups})
        self._runs.set_options(
            [
                member._replace(options=item.group.options, decays=item.decays, scaled=scales, group=group)
                for member, item, group, scales in zip(self._runs.members, items, groups, scaled, strict=True)
            ]
        )

    def take(self, items: Sequence[Item]) -> list[Any]:
        """Bring all gradients into a form that kernels read, and give what must live until the step is done."""
        self._run = None
        kinds: list[Kind] = []
        arrays: list[Any] = []
        members = self._runs.members
        for index, item in enumerate(items):
            given = gradient_array(item.gradient)
            kind, usable = to_kernel_form(index, members[index].variable, given, self._memory)
            kinds.append(kind)
            arrays.append(usable)
        run = self._runs.find(tuple(kinds))
        set_gradients(run, [*map(start_of, kinds, arrays)], arrays)
        run.compile()
        self._run, self._kinds, self._is_repeated = run, kinds, run is self._last
        return arrays

    def short_way(
        self, groups: Sequence[Group], items: Sequence[Item], states: States, unscales: bool
    ) -> ShortWay | None:
        """Give what the next step must be like to go the short way, after one on just these items; None: it may not.

        A step that comes but once needs none, nor what makes one compiled.
        """
        run, self._last = self._run, self._run
        if run is None or not run.compiled or not self._is_repeated:
            return None
        with loading():
            from rmsprop._torch import tensor_looks  # noqa: F401 - for the first look, with nobody forking meanwhile
        if not is_open():
            return None
        for item, kind in zip(items, self._kinds, strict=True):
            if kind[1] == ITSELF or (kind[1] == ROWS) is not item.gradient.is_sparse:
                return None
            if kind[1] != ROWS and not _is_as_it_lies(item.gradient):
                return None
        if not all(isinstance(one, Tensor) for state in states.values() for one in state.values()):
            return None
        if any(one.is_complex() for item in items for one in (item.variable, item.gradient)):
            return None  # they may conjugate what is in their memory
        begin = run.where["gradient"].ctypes.data
        places = [0 if kind[1] == ROWS else begin + 8 * place for place, kind in enumerate(self._kinds)]
        mine = ref(self)  # which holds this

        def take_rows(place: int, gradient: Tensor) -> Any:
            native = mine()
            return None if native is None else native.take_rows(place, gradient)

        return ShortWay(groups, items, states, unscales, places, self._memory, take_rows)

    def take_rows(self, place: int, gradient: Tensor) -> RowSparse | None:
        """Say to the run where a sparse gradient is, and give what must live until the step is done; else None."""
        parameter, run = self.parameters[place], self._run
        if type(gradient) is not Tensor or not gradient.is_sparse or run is None:
            return None
        same = gradient.shape == parameter.shape and gradient.device == parameter.device and not gradient.is_complex()
        if not same or gradient.sparse_dim() != 1 or not is_whole(gradient):
            return None
        given = gradient_array(gradient)
        kind, usable = to_kernel_form(place, self._runs.members[place].variable, given, self._memory)
        if kind != self._kinds[place] or not isinstance(usable, RowSparse):
            return None
        set_rows(run, place, usable)
        return usable

    def square_sums(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient; 0 for those that no norm clips."""
        assert self._run is not None
        return self._run.measure()

    def tell(self, groups: Sequence[Group], unscale: float | None) -> None:
        """Say the step's numbers.

        Args:
            groups: those of the step.
            unscale: what each gradient is multiplied by before anything else.
        """
        assert self._run is not None
        run = self._run
        factor = 1.0 if unscale is None else unscale
        for number in self._groups:
            group = groups[number]
            run.set_numbers(number, float(group.rate), -factor if group.maximize else factor)

    def run(self, iterations: int, scales: NDArray[numpy.float64] | None = None) -> None:
        """Do the step.

        Args:
            iterations: steps done before.
            scales: what each gradient is multiplied by, where others have found it.
        """
        run = self._run
        assert run is not None
        if scales is not None:
            run.scales[:] = scales
        try:
            run.execute(iterations, NOTHING if scales is None else SCALES)
        finally:
            # What a graph has saved is not there any more, and backward through it has to notice.
            _increment_version(self._written)


def _member(
    item: Item, variable: NDArray[Any], slots: dict[str, NDArray[Any]], scaled: bool, turn: int, group: int
) -> Member:
    return Member(variable, slots, item.group.options, item.decays, scaled, turn, group)


def _is_as_it_lies(gradient: Tensor) -> bool:
    """Whether a gradient's numbers are those in memory."""
    return gradient.layout is torch.strided and not gradient.is_neg() and not gradient.is_conj()


def turns_of(variables: Sequence[NDArray[Any]]) -> list[int]:
    """Let parameters that share memory, or are one and the same, be stepped one after the other, as torch does."""
    turns = [0] * len(variables)
    if first_overlap(variables) is not None:
        for place, variable in enumerate(variables):
            earlier = [turns[other] for other in range(place) if shares_memory(variable, variables[other])]
            turns[place] = 1 + max(earlier, default=-1)
    return turns
