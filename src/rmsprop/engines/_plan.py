"""How the tensors of a step are sorted into buckets, and each bucket's launch.

A bucket is what one kernel call serves: the same storage types, the same options on, and either all contiguous or
not. A plan is made for one pattern of gradients and used for every step that has it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop._options import Options
from rmsprop._rows import RowSparse
from rmsprop.compilers._forks import loading
from rmsprop.compilers._layout import OPERANDS, Storage
from rmsprop.compilers.plain import PlainLaunch, PlainSquareSums
from rmsprop.engines._arrays import Array, address, memory_order, packed_address
from rmsprop.engines._fallback import falls_back, kernels
from rmsprop.engines._kinds import FLAT, ITSELF, Gradients, Kind, norm_layouts, row_tables, step_layouts
from rmsprop.engines._scalars import changing, constants, storage_of
from rmsprop.engines._switch import native_by_default

if TYPE_CHECKING:
    from rmsprop.compilers.numba import Launch, SquareSums


class Member(NamedTuple):
    """A variable that steps may move.

    Attributes:
        variable: its array.
        slots: slot name -> array without gaps, its axes in memory as the variable's.
        options: the checked arguments.
        decays: whether weight decay applies.
        scaled: whether its gradient is multiplied by a number although no norm clips.
        turn: which launches it comes after: all with a lower number. Variables that share memory differ in it.
    """

    variable: Array
    slots: Mapping[str, Array]
    options: Options
    decays: bool
    scaled: bool = False
    turn: int = 0

    def constants(self) -> dict[str, float]:
        """Give the scalars that are on and stay as they are."""
        return constants(self.options, self.decays)

    def changing(self) -> list[str]:
        """Name the scalars that are on and differ from step to step."""
        found = changing(self.options)
        return found if not self.scaled or self.options.clips_by_norm else [*found, "clip_scale"]

    def pattern(self) -> tuple[Any, ...]:
        """Give what all members of a launch have in common, apart from how their numbers lie and are stored."""
        return self.turn, tuple(self.slots), (*self.constants(), *self.changing()), self.options.jit_compile


class Plan:
    """The buckets of a step, each with its launch.

    Args:
        kinds: the variables of the step, by their numbers among the members, and their gradients' kinds.
        members: all variables.
        threads: how many may share a launch.
    """

    def __init__(self, kinds: Sequence[Kind], members: Sequence[Member], threads: int) -> None:
        steps: dict[Any, list[int]] = {}
        norms: dict[Any, list[int]] = {}
        for place, kind in enumerate(kinds):
            index, _, dtype = kind
            member = members[index]
            storage = storage_of(member.options, member.variable.dtype, dtype)
            steps.setdefault((member.pattern(), storage, _lies_like(member.variable, kind)), []).append(place)
            if member.options.clips_by_norm:
                compiles, flat = runs_kernels(member.options), _is_row_major(member.variable, kind)
                norms.setdefault((dtype, flat, compiles), []).append(place)
        self._size = len(kinds)
        self._buckets = [
            _Bucket(storage, flat, places, kinds, members, threads)
            for (_, storage, flat), places in sorted(steps.items(), key=lambda item: item[0][0][0])
        ]
        self._norms = [
            _Norms(dtype, flat, compiles, places, kinds, members, threads)
            for (dtype, flat, compiles), places in norms.items()
        ]
        self._parts: tuple[_Bucket | _Norms, ...] = (*self._buckets, *self._norms)
        self._compiled = False
        # Scalars that are the same for all, so as not to write them again.
        self._told: dict[str, Any] = {}

    def set_constants(self, members: Sequence[Member]) -> None:
        """Tell the members' options anew, where the same ones are on as before."""
        for bucket in self._buckets:
            bucket.set_constants(members)

    def set_gradients(self, addresses: Sequence[int], arrays: Gradients) -> None:
        """Tell where this step's gradients are."""
        for part in self._parts:
            _hand_over(part, addresses, arrays)
        if not self._compiled:
            # Before anything is written: compiling takes seconds in which a user may well press Ctrl-C.
            for bucket in self._buckets:
                bucket.launch.compile()
            self._compiled = True

    def square_sums(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient, in the order of the plan's kinds; 0 for those that no norm clips."""
        if len(self._norms) == 1 and len(self._norms[0].places) == self._size:
            return self._norms[0].launch.run()
        sums = numpy.zeros(self._size)
        for norms in self._norms:
            sums[norms.places] = norms.launch.run()
        return sums

    def set_scalars(self, name: str, values: float | NDArray[Any]) -> None:
        """Tell a scalar of the step: one for all, or an array in the order of the plan's kinds.

        Launches in which it is off do without.
        """
        each = isinstance(values, numpy.ndarray)
        if not each and values == self._told.get(name):
            return
        # Forgotten before the first column is written, and noted after the last: whatever comes in between, an
        # interrupt or a warning raised as an error, the next step writes them all.
        self._told.pop(name, None)
        for bucket in self._buckets:
            column = bucket.launch.scalars.get(name)
            if column is not None:
                column[:] = values[bucket.places] if isinstance(values, numpy.ndarray) else values
        if not each:
            self._told[name] = values

    def run(self) -> None:
        """Do the step."""
        for bucket in self._buckets:
            bucket.launch.run()


class _Bucket:
    """The tensors of one launch; `places` says where they stand among the step's gradients."""

    def __init__(
        self,
        storage: Storage,
        flat: bool,
        places: list[int],
        kinds: Sequence[Kind],
        members: Sequence[Member],
        threads: int,
    ) -> None:
        self.places = places
        mine = [kinds[place] for place in places]
        self._rows = [index for index, _, _ in mine]
        rows = [members[index] for index in self._rows]
        states = {"variable": [row.variable for row in rows]}
        states |= {name: [row.slots[name] for row in rows] for name in rows[0].slots}
        scalars = [*rows[0].constants(), *rows[0].changing()]
        self.launch: Launch | PlainLaunch
        if runs_kernels(rows[0].options):
            self.launch = _launch(states, storage, scalars, threads, scattered=not flat)
        else:
            self.launch = PlainLaunch(states, storage, scalars)
        self.set_constants(members)
        self.layouts = None if flat else step_layouts(states["variable"], mine)

    def set_constants(self, members: Sequence[Member]) -> None:
        """Fill the columns of the scalars that do not change from step to step."""
        rows = [members[index].constants() for index in self._rows]
        for name in rows[0]:
            self.launch.scalars[name][:] = [row[name] for row in rows]


class _Norms:
    """The gradients whose norms one launch takes; `places` as in `_Bucket`."""

    def __init__(
        self,
        dtype: numpy.dtype[Any],
        flat: bool,
        compiles: bool,
        places: list[int],
        kinds: Sequence[Kind],
        members: Sequence[Member],
        threads: int,
    ) -> None:
        self.places = places
        mine = [kinds[place] for place in places]
        arrays = [members[index].variable for index, _, _ in mine]
        self.launch = _square_sums(arrays, dtype, threads, scattered=not flat) if compiles else PlainSquareSums()
        self.layouts = None if flat else norm_layouts(arrays, mine)


def _hand_over(part: _Bucket | _Norms, addresses: Sequence[int], arrays: Gradients) -> None:
    """Tell a launch where its gradients are."""
    launch = part.launch
    if isinstance(launch, PlainLaunch | PlainSquareSums):
        mine = [arrays[place] for place in part.places]
        launch.gradients = [one.to_dense() if isinstance(one, RowSparse) else one for one in mine]
        return
    if len(part.places) == len(addresses):  # all of them, and so in their order
        launch.gradients[:] = addresses
    else:
        launch.gradients[:] = [addresses[place] for place in part.places]
    if part.layouts is not None:
        launch.scatter(part.layouts, *row_tables([arrays[place] for place in part.places]))


def _lies_like(variable: Array, kind: Kind) -> bool:
    """Whether variable and gradient are one block of memory each, in the same order."""
    _, lie, dtype = kind
    if lie != variable.strides or dtype.itemsize != variable.itemsize:
        return lie == FLAT
    return bool(variable.transpose(memory_order(variable)).flags.c_contiguous)


def _is_row_major(variable: Array, kind: Kind) -> bool:
    """Whether the gradient is one block of memory in row-major order, in which norms are summed."""
    lie = kind[1]
    return lie == FLAT or (lie == ITSELF and variable.flags.c_contiguous)


def runs_kernels(options: Options) -> bool:
    """Whether compiled kernels do the step.

    Warns:
        UserWarning: they should, and cannot; see `rmsprop.engines._fallback`.
    """
    if not options.jit_compile:
        return False
    reason = kernels()
    return reason is None or (native_by_default() and not falls_back(reason))


def _launch(
    states: dict[str, list[Array]], storage: Storage, scalars: Sequence[str], threads: int, scattered: bool
) -> "Launch":
    # Numba is imported when the first step needs it: `import rmsprop` is for everyone, and takes no time.
    with loading():
        from rmsprop.compilers.numba import Launch

    sizes = [array.size for array in states["variable"]]
    operands = [name for name in OPERANDS if name == "gradient" or name in states]
    launch = Launch(sizes, storage, operands, scalars, threads, scattered)
    orders = [memory_order(variable) for variable in states["variable"]]
    for name, arrays in states.items():
        if name == "variable" and scattered:
            launch.addresses[name][:] = [address(array) for array in arrays]  # their strides are in the tables
            continue
        dtype = storage.variable if name == "variable" else storage.slots
        launch.addresses[name][:] = [
            packed_address(array.transpose(order), dtype, size)
            for array, order, size in zip(arrays, orders, sizes, strict=True)
        ]
    return launch


def _square_sums(arrays: Sequence[Array], dtype: numpy.dtype[Any], threads: int, scattered: bool) -> "SquareSums":
    with loading():
        from rmsprop.compilers.numba import SquareSums

    return SquareSums([array.size for array in arrays], dtype, threads, scattered)
