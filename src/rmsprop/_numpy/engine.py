"""A whole step on NumPy arrays: checks, the gradients' forms, and the run.

A step like the one before goes a short way: one call of compiled code finds that all arrays are as they were. Else each
is looked at, and what can be refused is refused before anything is written.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from rmsprop._core.arrays import Array, MemoryMap, address, is_float
from rmsprop._core.forks import loading
from rmsprop._core.forms import ITSELF, ROWS, Gradient, Kind, start_of, to_kernel_form
from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse, is_masked
from rmsprop._core.switches import default_threads
from rmsprop._numpy.looks import Looks, can_look

if TYPE_CHECKING:
    from rmsprop._core.inplace import Member, Runs
    from rmsprop._core.run import Run


class Target(NamedTuple):
    """A variable as it was at build, to be compared at every step."""

    name: str
    array: Array
    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]
    strides: tuple[int, ...]
    address: int

    def check(self, writing: bool = True) -> None:
        """Raise a ValueError if the array is no longer what it was, or cannot be written to."""
        array = self.array
        if writing and not array.flags.writeable:
            raise ValueError(f"variable {self.name!r} has become read-only; it would have to be written to")
        same = array.shape == self.shape and array.dtype is self.dtype and array.strides == self.strides
        if not same or address(array) != self.address:
            raise ValueError(f"variable {self.name!r} was resized, reshaped or retyped since build: its state is lost")


class Engine:
    """Steps on variables that were checked at build.

    Args:
        options: the checked arguments.
        names: a name for each variable, for error texts.
        variables: arrays that own disjoint memory.
        slots: slot name -> an array for each variable, without gaps, its axes in memory as the variable's.
        decayed: for each variable, whether weight decay applies.
    """

    def __init__(
        self,
        options: Options,
        names: Sequence[str],
        variables: Sequence[Array],
        slots: dict[str, list[Array]],
        decayed: Sequence[bool],
    ) -> None:
        self._options = options
        self._slots = slots
        self._decayed = decayed
        self._targets = [_target(name, array) for name, array in zip(names, variables, strict=True)]
        self._memory = MemoryMap([*variables, *(array for arrays in slots.values() for array in arrays)])
        self._runs: Runs | None = None
        self._last: Run | None = None
        # Of the last step: what its arrays were like, its run, and its sparse gradients: the number of the pair, the
        # number of the variable, the place in the run, and the kind.
        self._usual: tuple[Looks, Run, list[tuple[int, int, int, Kind]]] | None = None

    def usual(self, pairs: Sequence[Any]) -> tuple["Run", Sequence[Gradient]] | None:
        """Give the run of the last step if arrays are as they were, and what must live until it is done; else None.

        The run knows where the gradients are now.

        Args:
            pairs: (gradient, variable) each, as the user gave them; they must live until then, too.
        """
        if self._usual is None or not self._usual[0].are_of(pairs):
            return None
        _, run, sparse = self._usual
        held = []
        for number, index, place, known in sparse:
            gradient = pairs[number][0]
            if type(gradient) is not RowSparse:
                return None
            kind, usable = self._to_kernel_form(index, gradient)
            if kind != known or not isinstance(usable, RowSparse):
                return None
            _set_rows(run, place, usable)
            held.append(usable)
        return run, held

    def prepare(
        self, gradients: Mapping[int, Any], pairs: Sequence[tuple[Any, Any]]
    ) -> tuple["Run", Sequence[Gradient]]:
        """Give what does a step; nothing that can be refused is left then, and nothing is written yet.

        Args:
            gradients: by the variables' numbers.
            pairs: (gradient, variable) each, as the user gave them.

        Returns:
            The run, and what must live until it is done.
        """
        self._usual = None
        kinds: list[Kind] = []
        addresses: list[int] = []
        arrays: list[Gradient] = []
        for index, gradient in gradients.items():
            self._targets[index].check()
            kind, usable = self._to_kernel_form(index, gradient)
            kinds.append(kind)
            addresses.append(start_of(kind, usable))
            arrays.append(usable)
        with loading():
            from rmsprop._core.inplace import set_gradients

        run = self._find(tuple(kinds))
        set_gradients(run, addresses, arrays)
        run.compile()
        if run is self._last:  # a step that comes but once needs no short way, nor what makes one compiled
            self._remember(run, gradients, arrays, kinds, pairs)
        self._last = run
        return run, arrays

    def _remember(
        self,
        run: "Run",
        gradients: Mapping[int, Any],
        arrays: Sequence[Gradient],
        kinds: Sequence[Kind],
        pairs: Sequence[tuple[Any, Any]],
    ) -> None:
        """Write down what the arrays of a step that was done again are like, if the next may go the short way."""
        if not run.compiled or len(pairs) != len(arrays):
            return
        with loading():
            from rmsprop._numpy import array_looks  # noqa: F401 - for the first look, with nobody forking meanwhile
        if not can_look():
            return
        sparse: list[tuple[int, int, int, Kind]] = []
        for place, (one, given, kind) in enumerate(zip(arrays, gradients.values(), kinds, strict=True)):
            if kind[1] == ROWS:
                sparse.append((0, kind[0], place, kind))
            elif type(given) is not numpy.ndarray or one is not given or kind[1] == ITSELF:
                return  # a copy, made for this step, or the variable's memory
        places = {id(self._targets[index].array): place for place, index in enumerate(gradients)}
        if any(id(variable) not in places for _, variable in pairs):
            return  # another array of the same memory, which may be gone the next time
        numbers = {places[id(variable)]: number for number, (_, variable) in enumerate(pairs)}
        begin = run.where["gradient"].ctypes.data
        looks = Looks(pairs, [begin + 8 * places[id(variable)] for _, variable in pairs], self._memory)
        self._usual = looks, run, [(numbers[place], index, place, kind) for _, index, place, kind in sparse]

    def check(self, writing: bool = True) -> None:
        """Raise a ValueError if a variable is no longer what it was at build, or cannot be written to."""
        for target in self._targets:
            target.check(writing)

    def _to_kernel_form(self, index: int, gradient: Any) -> tuple[Kind, Gradient]:
        """Check a gradient that is not of the usual kind, and bring it into a form that a kernel reads."""
        target = self._targets[index]
        if not isinstance(gradient, RowSparse):
            gradient = _as_array(target, gradient)
        if not is_float(gradient.dtype.newbyteorder("=")):
            raise TypeError(
                f"the gradient of variable {target.name!r} has the type {gradient.dtype}: "
                "float16, bfloat16, float32 or float64 is needed"
            )
        if gradient.shape != target.shape:
            raise ValueError(
                f"the gradient of variable {target.name!r} has the shape {gradient.shape}, the variable {target.shape}"
            )
        return to_kernel_form(index, target.array, gradient, self._memory)

    def members(self) -> list["Member"]:
        """List the variables as plans know them."""
        from rmsprop._core.inplace import Member

        return [
            Member(
                target.array,
                {name: arrays[index] for name, arrays in self._slots.items()},
                self._options,
                self._decayed[index],
            )
            for index, target in enumerate(self._targets)
        ]

    def _find(self, kinds: tuple[Kind, ...]) -> "Run":
        if self._runs is None:
            # Imported when there is a first step: what only steps need is not waited for at `import rmsprop`.
            with loading():
                from rmsprop._core.inplace import Runs

            self._runs = Runs(self.members(), default_threads())
        return self._runs.find(kinds)


def _target(name: str, array: Array) -> Target:
    return Target(name, array, array.shape, array.dtype, array.strides, address(array))


def _as_array(target: Target, gradient: Any) -> Array:
    if is_masked(gradient):
        raise TypeError(f"the gradient of variable {target.name!r} is a masked array: fill it first")
    try:
        return numpy.asarray(gradient)
    except ValueError as error:
        raise ValueError(f"the gradient of variable {target.name!r} is no array: {error}") from error
    except (RuntimeError, TypeError) as error:  # as torch says that a tensor is on a device, or is differentiated
        raise TypeError(f"the gradient of variable {target.name!r} is not to be read by NumPy: {error}") from error


def _set_rows(run: "Run", place: int, gradient: RowSparse) -> None:
    from rmsprop._core.inplace import set_rows  # there is a run, so it is loaded

    set_rows(run, place, gradient)
