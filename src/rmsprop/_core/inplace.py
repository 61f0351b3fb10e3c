"""Steps in place, in memory of the CPU that does not move: variables, their slots, and a run for each pattern.

A pattern of gradients - which variables have one, their types, how they are in memory - is planned once. NumPy's and
torch's engines step through this.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import numpy

from rmsprop._core.arrays import Array, address, memory_order, packed_address
from rmsprop._core.fallback import kernels, warn_once
from rmsprop._core.forms import FLAT, Gradient, Kind, norm_form, row_size, step_form
from rmsprop._core.options import Options
from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.rows import RowSparse
from rmsprop._core.run import Run
from rmsprop._core.scalars import fill_group, names_on, storage_of
from rmsprop._core.switches import against_native

#: Most runs: gradients may be None in a few patterns, not in endless ones.
_RUNS: Final = 64


@final
class Member(NamedTuple):
    """A variable of the steps.

    Attributes:
        variable: its array.
        slots: slot name -> array without gaps, its axes in memory as the variable's.
        options: the checked arguments.
        decays: whether weight decay applies.
        scaled: whether its gradient is multiplied by a number although no norm clips.
        turn: its launch comes after all launches with a lower number. Variables that share memory differ in it.
        group: number of the row of options.
    """

    variable: Array
    slots: Mapping[str, Array]
    options: Options
    decays: bool
    scaled: bool = False
    turn: int = 0
    group: int = 0

    def on(self) -> tuple[str, ...]:
        """Return the names of the slots and scalars that are on."""
        return names_on(self.options, self.slots, self.decays, self.scaled)

    def planned(self) -> tuple[Any, ...]:
        """Return what a plan depends on, apart from the arrays."""
        return self.on(), self.group, self.options.clips_by_norm, self.turn, self.options.jit_compile

    def tensor(self, kind: Kind) -> Tensor:
        """Return its description with a gradient of a kind."""
        variable, options = self.variable, self.options
        form, layout = step_form(variable, kind)
        norm, norm_layout = norm_form(variable, kind) if options.clips_by_norm else ("flat", ())
        return Tensor(
            size=variable.size,
            storage=storage_of(options, variable.dtype, kind[2]),
            on=self.on(),
            group=self.group,
            clips=options.clips_by_norm,
            form=form,
            layout=layout,
            norm_form=norm,
            norm_layout=norm_layout,
            row_size=row_size(variable.shape, kind),
            turn=self.turn,
        )


@final
class Runs:
    """The runs of several variables, by the kinds of their gradients.

    Args:
        members: the variables.
        threads: how many a launch may use.
        off: why the user wants no native steps, "" if there is no reason; None: the environment decides.
    """

    def __init__(self, members: Sequence[Member], threads: int, off: str | None = None) -> None:
        self.members, self._threads, self._off = list(members), threads, off
        self._found: dict[tuple[Kind, ...], Run] = {}

    def find(self, kinds: tuple[Kind, ...]) -> Run:
        """Return the run for gradients of these kinds, which lacks their addresses and the step's numbers."""
        run = self._found.pop(kinds, None)
        if run is None:
            if len(self._found) >= _RUNS:
                self._found.pop(next(iter(self._found)))
            run = self._make(kinds)
        self._found[kinds] = run  # at the end, farthest from being dropped
        return run

    def _make(self, kinds: Sequence[Kind]) -> Run:
        members = [self.members[index] for index, _, _ in kinds]
        groups = 1 + max(member.group for member in self.members)
        plan = Plan([member.tensor(kind) for member, kind in zip(members, kinds, strict=True)], groups)
        run = Run(plan, self._threads, not against_kernels(members[0].options, self._off, warns=True))
        for place, (member, tensor) in enumerate(zip(members, plan.tensors, strict=True)):
            order = memory_order(member.variable)
            for name, array in (("variable", member.variable), *member.slots.items()):
                if name == "variable" and tensor.form == "gathered":
                    found = address(array)  # its strides are in the layout
                else:
                    dtype = tensor.storage.variable if name == "variable" else tensor.storage.slots
                    found = packed_address(array.transpose(order), dtype, tensor.size)
                run.where[name][place] = found
        _fill(run, self.members)
        return run

    def set_options(self, members: Sequence[Member]) -> None:
        """Replace the options, of variables and slots that are the same."""
        if [one.planned() for one in members] != [one.planned() for one in self.members]:
            self._found.clear()
        self.members = list(members)
        for run in self._found.values():
            _fill(run, members)


def _fill(run: Run, members: Sequence[Member]) -> None:
    for group, options in {member.group: member.options for member in members}.items():
        fill_group(run.groups, group, options)


def set_gradients(run: Run, kinds: Sequence[Kind], gradients: Sequence[Gradient]) -> None:
    """Write where this step's gradients are, in kernel form; they must live until it is done."""
    addresses, sparse = [0] * len(kinds), list[tuple[int, RowSparse]]()
    for place, ((_, form, dtype), gradient) in enumerate(zip(kinds, gradients, strict=True)):
        if isinstance(gradient, RowSparse):
            sparse.append((place, gradient))
        else:
            addresses[place] = packed_address(gradient, dtype) if form == FLAT else address(gradient)
    run.where["gradient"][:] = addresses
    for place, rows in sparse:
        set_rows(run, place, rows)


def set_rows(run: Run, place: int, gradient: RowSparse) -> None:
    """Write where the rows of one of the step's gradients are."""
    run.where["gradient"][place] = packed_address(gradient.values)
    run.where["row_numbers"][place] = packed_address(gradient.indices, numpy.dtype(numpy.int64))
    run.where["row_count"][place] = gradient.indices.size


def against_kernels(options: Options, off: str | None = None, *, warns: bool = False) -> str:
    """Return why no compiled kernel steps arrays of the CPU; "" if one does.

    Args:
        options: the checked arguments.
        off: why the user wants no native steps, "" if there is no reason; None: the environment decides.
        warns: whether to warn of a reason that is not the user's, once in a process.

    Warns:
        UserWarning: kernels should do it, and cannot; see `rmsprop._core.fallback`.
    """
    off = against_native(None) if off is None else off
    if not options.jit_compile or off:
        return off if options.jit_compile else "jit_compile=False"
    return warn_once(kernels()) if warns else kernels()


def count_launches(kinds: Sequence[Kind], members: Sequence[Member]) -> int:
    """Return the number of kernel calls of a step."""
    groups = 1 + max([member.group for member in members], default=0)
    plan = Plan([members[kind[0]].tensor(kind) for kind in kinds], groups)
    return len(plan.norms) + len(plan.steps)
