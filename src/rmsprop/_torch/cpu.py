"""Steps in place on the CPU, by the kernels that NumPy's engine uses, too.

`Native` is made for parameters and state as they are in memory. A step like the one before takes the short way
(`rmsprop._torch.short_way`). Before any other step `fits` compares the memory, and each gradient is looked at.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any, final
from weakref import ref

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop._core.arrays import MemoryMap, first_overlap, shares_memory
from rmsprop._core.forks import loading
from rmsprop._core.forms import ITSELF, ROWS, Kind, to_kernel_form
from rmsprop._core.inplace import Member, Runs, set_gradients, set_rows
from rmsprop._core.items import Item
from rmsprop._core.rows import RowSparse
from rmsprop._core.run import Run
from rmsprop._core.tables import NOTHING, SCALES
from rmsprop._torch.arrays import as_array, gradient_array, is_whole
from rmsprop._torch.interface import Group, States
from rmsprop._torch.looks import Looks
from rmsprop._torch.openmp import threads_and_pool
from rmsprop._torch.short_way import ShortWay, is_open

#: The public function is in Python and first looks whether it was given one tensor.
_increment_version: Any = getattr(torch._C, "_increment_version", increment_version)


@final
class Native:
    """Parameters on the CPU with their state, and the runs that step them.

    `unscales` is whether gradients are multiplied by a number before anything else, `off` why the user wants no native
    steps.

    Attributes:
        short: what the next step must be like to take the short way; None: it cannot.
    """

    def __init__(self, items: Sequence[Item], groups: Sequence[Group], unscales: bool, off: str) -> None:
        self._parameters, self._own_threads = [item.variable for item in items], torch.get_num_threads()
        threads, self._pool = threads_and_pool()
        self._slots = [tensor for item in items for tensor in item.slots.values()]
        self._written = [*self._parameters, *self._slots]
        self._starts, self._looks = [*map(Tensor.data_ptr, self._written)], Looks(self._written)
        # Used only after all of this was found unchanged: the arrays keep no memory alive.
        variables = [as_array(parameter, holds=False) for parameter in self._parameters]
        slots = [{name: as_array(tensor, holds=False) for name, tensor in item.slots.items()} for item in items]
        arrays = zip(member_settings(items, groups, unscales), variables, slots, turns_of(variables), strict=True)
        members = [Member(variable, mine, turn=turn, **one) for one, variable, mine, turn in arrays]
        self._runs = Runs(members, threads, off)
        self._groups = sorted({member.group for member in members})
        self._memory = MemoryMap([*variables, *(array for mine in slots for array in mine.values())])
        # Of the last step, and the forms of its gradients.
        self._run: Run | None = None
        self.short: ShortWay | None = None
        self._kinds: list[Kind] = []
        self._is_repeated = False
        self._last: Run | None = None

    def fits(self, items: Sequence[Item]) -> bool:
        """Return whether it was made for just these tensors, and their memory is as it was."""
        slots = [tensor for item in items for tensor in item.slots.values()]
        return (
            len(items) == len(self._parameters)
            and len(slots) == len(self._slots)
            and all(map(is_, [*(item.variable for item in items), *slots], self._written))
            and [*map(Tensor.data_ptr, self._written)] == self._starts
            and self._looks.are_of(self._written)
            and torch.get_num_threads() == self._own_threads
        )

    def set_options(self, items: Sequence[Item], groups: Sequence[Group], unscales: bool) -> None:
        """Set options that may have changed."""
        self._run = self.short = None
        settings = zip(self._runs.members, member_settings(items, groups, unscales), strict=True)
        members = [member._replace(**one) for member, one in settings]
        self._groups = sorted({member.group for member in members})
        self._runs.set_options(members)

    def locate(self, items: Sequence[Item]) -> list[Any]:
        """Bring all gradients into a form that kernels read, and return what must live until the step is done."""
        self._run = None
        kinds: list[Kind] = []
        arrays: list[Any] = []
        for index, item in enumerate(items):
            kind, usable = self._to_kernel_form(index, item.gradient)
            kinds.append(kind)
            arrays.append(usable)
        run = self._runs.find(tuple(kinds))
        set_gradients(run, kinds, arrays)
        run.compile(self._pool)
        self._run, self._kinds, self._is_repeated = run, kinds, run is self._last
        return arrays

    def _to_kernel_form(self, place: int, gradient: Tensor) -> tuple[Kind, Any]:
        return to_kernel_form(place, self._runs.members[place].variable, gradient_array(gradient), self._memory)

    def short_way(
        self, groups: Sequence[Group], items: Sequence[Item], states: States, unscales: bool
    ) -> ShortWay | None:
        """Return what the next step must be like to take the short way, after a step of these items; None: it cannot.

        A step that is not repeated needs none, nor what is compiled for it.
        """
        run, self._last = self._run, self._run
        if run is None or not run.compiled or not self._is_repeated:
            return None
        with loading():
            from rmsprop._torch import tensor_looks  # noqa: F401 - for the first look, with no fork meanwhile
        if not is_open():
            return None
        for item, kind in zip(items, self._kinds, strict=True):
            gradient, is_rows = item.gradient, kind[1] == ROWS
            if kind[1] == ITSELF or is_rows is not gradient.is_sparse:
                return None
            if not is_rows and (gradient.layout is not torch.strided or gradient.is_neg() or gradient.is_conj()):
                return None  # its numbers are not those in memory
        if not all(isinstance(one, Tensor) for state in states.values() for one in state.values()):
            return None
        if any(one.is_complex() for item in items for one in (item.variable, item.gradient)):
            return None  # they may conjugate what is in their memory
        begin = run.where["gradient"].ctypes.data
        places = [0 if kind[1] == ROWS else begin + 8 * place for place, kind in enumerate(self._kinds)]
        mine = ref(self)  # which holds this

        def locate_rows(place: int, gradient: Tensor) -> Any:
            native = mine()
            return None if native is None else native.locate_rows(place, gradient)

        return ShortWay(groups, items, states, unscales, places, self._memory, locate_rows)

    def locate_rows(self, place: int, gradient: Tensor) -> RowSparse | None:
        """Write where a sparse gradient is, and return what must live until the step is done; None if it is another."""
        parameter, run = self._parameters[place], self._run
        if type(gradient) is not Tensor or not gradient.is_sparse or run is None:
            return None
        same = gradient.shape == parameter.shape and gradient.device == parameter.device and not gradient.is_complex()
        if not same or gradient.sparse_dim() != 1 or not is_whole(gradient):
            return None
        kind, usable = self._to_kernel_form(place, gradient)
        if kind != self._kinds[place] or not isinstance(usable, RowSparse):
            return None
        set_rows(run, place, usable)
        return usable

    def square_sums(self) -> NDArray[numpy.float64]:
        """Return the sum of the squares of each gradient; 0 for those that no norm clips."""
        assert self._run is not None
        return self._run.measure()

    def set_numbers(self, groups: Sequence[Group], unscale: float | None) -> None:
        """Set the step's numbers; each gradient is multiplied by `unscale` before anything else."""
        assert self._run is not None
        factor = 1.0 if unscale is None else unscale
        for number in self._groups:
            group = groups[number]
            self._run.set_rate_and_factor(number, float(group.rate), -factor if group.maximize else factor)

    def run(self, iterations: int, scales: NDArray[numpy.float64] | None = None) -> None:
        """Do the step; `scales` is what each gradient is multiplied by, where that is known already."""
        run = self._run
        assert run is not None
        if scales is not None:
            run.scales[:] = scales
        try:
            run.execute(iterations, NOTHING if scales is None else SCALES)
        finally:
            # What a graph has saved is overwritten, and backward through it has to notice.
            _increment_version(self._written)


def member_settings(items: Sequence[Item], groups: Sequence[Group], unscales: bool) -> list[dict[str, Any]]:
    """Return the fields of a `Member` that are no arrays; a number multiplies gradients that are negated, too."""
    numbers = {id(group): number for number, group in enumerate(groups)}
    return [
        {
            "options": item.group.options, "decays": item.decays, "scaled": unscales or item.group.maximize,
            "group": numbers[id(item.group)],
        }
        for item in items
    ]  # fmt: skip


def turns_of(variables: Sequence[NDArray[Any]]) -> list[int]:
    """Return turns in which parameters that share memory, or are the same, are stepped one after the other."""
    turns = [0] * len(variables)
    if first_overlap(variables) is not None:
        for place, variable in enumerate(variables):
            earlier = [turns[other] for other in range(place) if shares_memory(variable, variables[other])]
            turns[place] = 1 + max(earlier, default=-1)
    return turns
