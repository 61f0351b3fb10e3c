"""A whole step on NumPy arrays: checks, the gradients' forms, and the run.

A step like the one before needs one call of compiled code, which finds that all arrays are as before. Any other step
checks each array, and refuses before anything is written.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy

from rmsprop._core.arrays import Array, MemoryMap, is_float
from rmsprop._core.forks import loading
from rmsprop._core.forms import ITSELF, ROWS, Gradient, Kind, to_kernel_form
from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse, is_masked
from rmsprop._core.switches import against_native, default_threads
from rmsprop._numpy.looks import Looks, can_look
from rmsprop._numpy.variables import Variables

if TYPE_CHECKING:
    from rmsprop._core.inplace import Member, Runs
    from rmsprop._core.run import Run


@final
class Engine:
    """Steps on variables that were checked at build.

    Args:
        options: the checked arguments.
        variables: the variables.
        slots: slot name -> an array for each variable, without gaps, its axes in memory as the variable's.
        decayed: for each variable, whether weight decay applies.
        native: the argument of the optimizer.

    Attributes:
        off: why the user wants no native steps; "" if there is no reason.
    """

    def __init__(
        self,
        options: Options,
        variables: Variables,
        slots: dict[str, list[Array]],
        decayed: Sequence[bool],
        native: bool | None,
    ) -> None:
        self.off = against_native(native)
        self._options, self._variables, self._slots, self._decayed = options, variables, slots, decayed
        self._memory = MemoryMap([*variables.arrays, *(array for arrays in slots.values() for array in arrays)])
        self._runs: Runs | None = None
        self._last: Run | None = None
        # Of the last step: what its arrays were like, its run, and its sparse gradients: the number of the pair, the
        # number of the variable, the place in the run, and the kind.
        self._usual: tuple[Looks, Run, list[tuple[int, int, int, Kind]]] | None = None

    def usual(self, pairs: Sequence[Any]) -> tuple["Run", Sequence[Gradient]] | None:
        """Return the run of the last step, and what must live until it is done; None if arrays are not as before.

        The run has the gradients' addresses then.

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
            from rmsprop._core.inplace import set_rows  # there is a run, so it is loaded

            set_rows(run, place, usable)
            held.append(usable)
        return run, held

    def prepare(
        self, gradients: Mapping[int, Any], pairs: Sequence[tuple[Any, Any]]
    ) -> tuple["Run", Sequence[Gradient]]:
        """Return the run of a step, after every check and before anything is written.

        Args:
            gradients: by the variables' numbers.
            pairs: (gradient, variable) each, as the user gave them.

        Returns:
            The run, and what must live until it is done.
        """
        self._usual = None
        found = []
        for index, gradient in gradients.items():
            self._variables.check(index)
            found.append(self._to_kernel_form(index, gradient))
        kinds, arrays = [kind for kind, _ in found], [array for _, array in found]
        with loading():  # not at `import rmsprop`: only steps need it
            from rmsprop._core.inplace import Runs, set_gradients
        if self._runs is None:
            self._runs = Runs(self.members(), default_threads(), self.off)
        run = self._runs.find(tuple(kinds))
        set_gradients(run, kinds, arrays)
        run.compile()
        if run is self._last:  # one that is not repeated needs no short way, nor what makes one compiled
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
        """Note what the arrays of a repeated step are like, if the next may go the short way."""
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
        places = {id(self._variables.arrays[index]): place for place, index in enumerate(gradients)}
        if any(id(variable) not in places for _, variable in pairs):
            return  # another array of the same memory, which may be gone the next time
        numbers = {places[id(variable)]: number for number, (_, variable) in enumerate(pairs)}
        begin = run.where["gradient"].ctypes.data
        looks = Looks(pairs, [begin + 8 * places[id(variable)] for _, variable in pairs], self._memory)
        self._usual = looks, run, [(numbers[place], index, place, kind) for _, index, place, kind in sparse]

    def _to_kernel_form(self, index: int, gradient: Any) -> tuple[Kind, Gradient]:
        """Check a gradient, and bring it into a form that a kernel reads."""
        name, array = self._variables.names[index], self._variables.arrays[index]
        if not isinstance(gradient, RowSparse):
            gradient = _as_array(name, gradient)
        if not is_float(gradient.dtype.newbyteorder("=")):
            raise TypeError(
                f"the gradient of variable {name!r} has the type {gradient.dtype}: "
                "float16, bfloat16, float32 or float64 is needed"
            )
        if gradient.shape != array.shape:
            raise ValueError(
                f"the gradient of variable {name!r} has the shape {gradient.shape}, the variable {array.shape}"
            )
        return to_kernel_form(index, array, gradient, self._memory)

    def members(self) -> list["Member"]:
        """Return the variables as plans know them."""
        from rmsprop._core.inplace import Member

        slots = [dict(zip(self._slots, arrays, strict=True)) for arrays in zip(*self._slots.values(), strict=True)]
        return [
            Member(array, mine, self._options, decays)
            for array, mine, decays in zip(self._variables.arrays, slots, self._decayed, strict=True)
        ]


def _as_array(name: str, gradient: Any) -> Array:
    if is_masked(gradient):
        raise TypeError(f"the gradient of variable {name!r} is a masked array: fill it first")
    try:
        return numpy.asarray(gradient)
    except ValueError as error:
        raise ValueError(f"the gradient of variable {name!r} is no array: {error}") from error
    except (RuntimeError, TypeError) as error:  # as torch says that a tensor is on a device, or is differentiated
        raise TypeError(f"the gradient of variable {name!r} is not to be read by NumPy: {error}") from error
