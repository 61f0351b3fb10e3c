"""How the tensors of a step are sorted into buckets, and each bucket's launch.

A bucket is what one kernel call serves: the same storage types, the same options on, and either all contiguous or
not. A plan is made for one pattern of gradients and used for every step that has it.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from rmsprop._options import Options
from rmsprop._rows import RowSparse
from rmsprop.compilers._layout import OPERANDS, Storage
from rmsprop.compilers._threads import default_threads
from rmsprop.compilers.plain import PlainLaunch, PlainSquareSums
from rmsprop.engines._arrays import Array, address, memory_order
from rmsprop.engines._kinds import FLAT, ITSELF, Gradients, Kind, norm_layouts, row_tables, step_layouts
from rmsprop.engines._scalars import changing, constants, storage_of

if TYPE_CHECKING:
    from rmsprop.compilers.numba import Launch, SquareSums


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
        steps: dict[Any, list[int]] = {}
        norms: dict[Any, list[int]] = {}
        for place, kind in enumerate(kinds):
            index, _, dtype = kind
            storage = storage_of(options, variables[index].dtype, dtype)
            steps.setdefault((storage, decayed[index], _lies_like(variables[index], kind)), []).append(place)
            norms.setdefault((dtype, _is_row_major(variables[index], kind)), []).append(place)
        self._size = len(kinds)
        self._buckets = [
            _Bucket(options, storage, decays, flat, places, kinds, variables, slots)
            for (storage, decays, flat), places in steps.items()
        ]
        self._norms = [
            _Norms(options, dtype, flat, places, kinds, variables)
            for (dtype, flat), places in norms.items()
            if options.clips_by_norm
        ]
        self._parts: tuple[_Bucket | _Norms, ...] = (*self._buckets, *self._norms)
        self._compiled = False

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
        """Sum the squares of each gradient, in the order of the plan's kinds."""
        if len(self._norms) == 1:
            return self._norms[0].launch.run()
        sums = numpy.empty(self._size)
        for norms in self._norms:
            sums[norms.places] = norms.launch.run()
        return sums

    def set_clip_scales(self, scales: float | NDArray[numpy.float64]) -> None:
        """Tell what each gradient is multiplied by, or all of them."""
        for bucket in self._buckets:
            column = bucket.launch.scalars["clip_scale"]
            column[:] = scales if isinstance(scales, float) else scales[bucket.places]

    def run(self, learning_rate: float, overwrite: bool) -> None:
        """Do the step."""
        for bucket in self._buckets:
            scalars = bucket.launch.scalars
            scalars["learning_rate"].fill(learning_rate)
            if "overwrite" in scalars:
                scalars["overwrite"].fill(overwrite)
        for bucket in self._buckets:
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
        fixed = constants(options, decays)
        scalars = [*fixed, *changing(options)]
        self.launch: Launch | PlainLaunch
        if _compiles(options):
            self.launch = _launch(states, storage, scalars, scattered=not flat)
        else:
            self.launch = PlainLaunch(states, storage, scalars)
        for name, value in fixed.items():
            self.launch.scalars[name].fill(value)
        self.layouts = None if flat else step_layouts(states["variable"], members)


class _Norms:
    """The gradients whose norms one launch takes; `places` as in `_Bucket`."""

    def __init__(
        self,
        options: Options,
        dtype: numpy.dtype[Any],
        flat: bool,
        places: list[int],
        kinds: Sequence[Kind],
        variables: Sequence[Array],
    ) -> None:
        self.places = places
        members = [kinds[place] for place in places]
        arrays = [variables[index] for index, _, _ in members]
        self.launch = _square_sums(arrays, dtype, scattered=not flat) if _compiles(options) else PlainSquareSums()
        self.layouts = None if flat else norm_layouts(arrays, members)


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


def _compiles(options: Options) -> bool:
    # Numba's own switch, for debuggers and coverage, leaves nothing that could run a kernel.
    return options.jit_compile and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def _launch(states: dict[str, list[Array]], storage: Storage, scalars: Sequence[str], scattered: bool) -> "Launch":
    # Numba is imported when the first step needs it: `import rmsprop` is for everyone, and takes no time.
    from rmsprop.compilers.numba import Launch

    sizes = [array.size for array in states["variable"]]
    operands = [name for name in OPERANDS if name == "gradient" or name in states]
    launch = Launch(sizes, storage, operands, scalars, default_threads(), scattered)
    for name, arrays in states.items():
        launch.addresses[name][:] = [address(array) for array in arrays]
    return launch


def _square_sums(arrays: Sequence[Array], dtype: numpy.dtype[Any], scattered: bool) -> "SquareSums | PlainSquareSums":
    from rmsprop.compilers.numba import SquareSums

    return SquareSums([array.size for array in arrays], dtype, default_threads(), scattered)
