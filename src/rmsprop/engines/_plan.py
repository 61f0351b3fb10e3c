"""How the tensors of a step are sorted into buckets, and each bucket's launch.

A bucket is what one kernel call serves: the same storage types, the same options on, and either all contiguous or
not. A plan is made for one pattern of gradients and used for every step that has it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

from rmsprop._options import Options
from rmsprop._rows import RowSparse
from rmsprop._slots import slot_dtype
from rmsprop.compilers._layout import OPERANDS, Storage, compute_type
from rmsprop.compilers._threads import default_threads
from rmsprop.compilers.plain import PlainLaunch
from rmsprop.engines._arrays import Array, address, merge_axes

if TYPE_CHECKING:
    from rmsprop.compilers.numba import Launch

#: How a gradient lies: FLAT like its contiguous variable, "rows" for a `RowSparse`, else its strides.
FLAT: Final = "flat"

#: The number of a variable, how its gradient lies, and how that is stored.
Kind = tuple[int, str | tuple[int, ...], numpy.dtype[Any]]


class Plan:
    """The buckets of a step, each with its launch.

    Args:
        options: the checked arguments.
        kinds: the variables of the step and their gradients' kinds.
        variables: all variables.
        slots: slot name -> an array for each variable.
        decayed: for each variable, whether weight decay applies.
    """

    def __init__(
        self,
        options: Options,
        kinds: Sequence[Kind],
        variables: Sequence[Array],
        slots: dict[str, list[Array]],
        decayed: Sequence[bool],
    ) -> None:
        groups: dict[Any, list[int]] = {}
        for place, (index, lie, dtype) in enumerate(kinds):
            storage = _storage(options, variables[index].dtype, dtype)
            groups.setdefault((storage, decayed[index], lie == FLAT), []).append(place)
        self._size = len(kinds)
        self._buckets = [
            _Bucket(options, storage, decays, flat, places, kinds, variables, slots)
            for (storage, decays, flat), places in groups.items()
        ]

    def set_gradients(self, addresses: Sequence[int], arrays: Sequence[Array | RowSparse]) -> None:
        """Tell where this step's gradients are."""
        for bucket in self._buckets:
            bucket.set_gradients(addresses, arrays)

    def square_sums(self) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient, in the order of the plan's kinds."""
        sums = numpy.empty(self._size)
        for bucket in self._buckets:
            sums[bucket.places] = bucket.launch.square_sums()
        return sums

    def set_clip_scales(self, scales: NDArray[numpy.float64]) -> None:
        """Tell what each gradient is multiplied by."""
        for bucket in self._buckets:
            bucket.launch.scalars["clip_scale"][:] = scales[bucket.places]

    def run(self, learning_rate: float, overwrite: bool) -> None:
        """Do the step."""
        for bucket in self._buckets:
            scalars = bucket.launch.scalars
            scalars["learning_rate"].fill(learning_rate)
            if "overwrite" in scalars:
                scalars["overwrite"].fill(overwrite)
            bucket.launch.run()


class _Bucket:
    """The tensors of one launch; `places` says where they stand among the step's gradients."""

    def __init__(
        self,
        options: Options,
        storage: Storage,
        decays: bool,
        flat: bool,
        places: list[int],
        kinds: Sequence[Kind],
        variables: Sequence[Array],
        slots: dict[str, list[Array]],
    ) -> None:
        self.places = places
        members = [kinds[place] for place in places]
        states = {"variable": [variables[index] for index, _, _ in members]}
        states |= {name: [arrays[index] for index, _, _ in members] for name, arrays in slots.items()}
        constants = _constants(options, decays)
        scalars = [*constants, *_changing(options)]
        self.launch = (
            _launch(states, storage, scalars) if options.jit_compile else PlainLaunch(states, storage, scalars)
        )
        for name, value in constants.items():
            self.launch.scalars[name].fill(value)
        self._layouts = None if flat else _layout_table(states["variable"], members)

    def set_gradients(self, addresses: Sequence[int], arrays: Sequence[Array | RowSparse]) -> None:
        if isinstance(self.launch, PlainLaunch):
            mine = [arrays[place] for place in self.places]
            self.launch.gradients = [one.to_dense() if isinstance(one, RowSparse) else one for one in mine]
            return
        self.launch.addresses["gradient"][:] = [addresses[place] for place in self.places]
        if self._layouts is not None:
            self.launch.scatter(self._layouts, *_row_tables([arrays[place] for place in self.places]))


def _launch(states: dict[str, list[Array]], storage: Storage, scalars: Sequence[str]) -> "Launch":
    # Numba is imported when the first step needs it: `import rmsprop` is for everyone, and takes no time.
    from rmsprop.compilers.numba import Launch

    sizes = [array.size for array in states["variable"]]
    operands = [name for name in OPERANDS if name == "gradient" or name in states]
    launch = Launch(sizes, storage, operands, scalars, default_threads())
    for name, arrays in states.items():
        launch.addresses[name][:] = [address(array) for array in arrays]
    return launch


def _storage(options: Options, variable: numpy.dtype[Any], gradient: numpy.dtype[Any]) -> Storage:
    slots = slot_dtype(options, variable)
    return Storage(gradient, variable, slots, compute_type(variable, slots))


def _constants(options: Options, decays: bool) -> dict[str, float]:
    """Give the scalars that are on and stay as they are; complements are taken in double."""
    found = {"rho": options.rho, "rho_c": 1 - options.rho, "epsilon": options.epsilon}
    if options.clipvalue is not None:
        found["clip_value"] = options.clipvalue
    if decays and options.weight_decay:
        found["weight_decay"] = options.weight_decay
    if options.momentum > 0:
        found["mu"] = options.momentum
    if options.use_ema:
        found |= {"ema_momentum": options.ema_momentum, "ema_momentum_c": 1 - options.ema_momentum}
    return found


def _changing(options: Options) -> list[str]:
    """Name the scalars that are on and differ from step to step."""
    found = ["learning_rate"]
    if options.clips_by_norm:
        found.append("clip_scale")
    if options.use_ema and options.ema_overwrite_frequency is not None:
        found.append("overwrite")
    return found


def _layout_table(variables: Sequence[Array], kinds: Sequence[Kind]) -> NDArray[numpy.int64]:
    """Write down shapes and strides; see `rmsprop.compilers._scatter`."""
    merged = []
    for array, (_, lie, _) in zip(variables, kinds, strict=True):
        strides = lie if isinstance(lie, tuple) else array.strides
        merged.append(merge_axes(array.shape, array.strides, strides))
    width = max(len(shape) for shape, _ in merged)
    table = numpy.zeros((len(merged), 1 + 3 * width), numpy.int64)
    for row, (lengths, steps) in zip(table, merged, strict=True):
        row[0] = len(lengths)
        for part, numbers in enumerate((lengths, *steps)):
            row[1 + part * width : 1 + part * width + len(numbers)] = numbers
    return table


def _row_tables(gradients: Sequence[Array | RowSparse]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Write down which rows the sparse gradients have; see `rmsprop.compilers._scatter`."""
    rows = numpy.full((len(gradients), 3), -1, numpy.int64)
    numbers = [numpy.empty(0, numpy.int64)]
    begin = 0
    for row, gradient in zip(rows, gradients, strict=True):
        if isinstance(gradient, RowSparse):
            row[:] = begin, gradient.indices.size, math.prod(gradient.shape[1:])
            numbers.append(gradient.indices)
            begin += gradient.indices.size
    return rows, numpy.concatenate(numbers)
