"""The launches of a step, one for each bucket of its tensors.

A plan is made for one pattern of gradients and used for every step that has it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from rmsprop._core.arrays import Array, address, memory_order, packed_address
from rmsprop._core.forks import loading
from rmsprop._core.rows import RowSparse
from rmsprop.compilers._layout import OPERANDS, Storage
from rmsprop.compilers._plain import PlainLaunch, PlainSquareSums
from rmsprop.engines._buckets import Member, NormBucket, StepBucket, norm_buckets, runs_kernels, step_buckets
from rmsprop.engines._kinds import Gradients, Kind, norm_layouts, row_tables, step_layouts

if TYPE_CHECKING:
    from rmsprop.compilers.numba import Launch, SquareSums


class Plan:
    """The buckets of a step, each with its launch.

    Args:
        kinds: the variables of the step, by their numbers among the members, and their gradients' kinds.
        members: all variables.
        threads: how many may share a launch.
    """

    def __init__(self, kinds: Sequence[Kind], members: Sequence[Member], threads: int) -> None:
        self._size = len(kinds)
        self._buckets = [_Bucket(bucket, kinds, members, threads) for bucket in step_buckets(kinds, members)]
        self._norms = [_Norms(bucket, kinds, members, threads) for bucket in norm_buckets(kinds, members)]
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

    def __init__(self, bucket: StepBucket, kinds: Sequence[Kind], members: Sequence[Member], threads: int) -> None:
        storage, flat, places = bucket
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

    def __init__(self, bucket: NormBucket, kinds: Sequence[Kind], members: Sequence[Member], threads: int) -> None:
        dtype, flat, compiles, places = bucket
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
