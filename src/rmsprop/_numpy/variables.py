"""The NumPy arrays that an optimizer was built for: checked once, named, and found again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy
from numpy.typing import NDArray

from rmsprop._core.arrays import address, first_overlap, is_float, overlaps_itself
from rmsprop._core.checks import FLOATS
from rmsprop._core.other_words import stepped_by
from rmsprop._core.rows import RowSparse, is_masked
from rmsprop._core.warnings import warn

if TYPE_CHECKING:
    from rmsprop._numpy.state import State

Array = NDArray[Any]
Collection = Sequence[Array] | Mapping[str, Array]
Gradient = Array | RowSparse | float | None


def named(variables: Collection) -> dict[str, Array]:
    """Return variables by name; the names of a list are its positions, "0", "1", ..."""
    if isinstance(variables, Mapping):
        for name in variables:
            if not isinstance(name, str):
                raise TypeError(f"variables has the key {name!r}: names are strings")
        return dict(variables)
    if isinstance(variables, numpy.ndarray):
        raise TypeError("variables is one array: pass a list of arrays, [w], or a mapping of names to arrays")
    return {str(index): array for index, array in enumerate(variables)}


def compute_pairs(
    loss: Callable[[], tuple[Any, Any]], variables: Collection
) -> tuple[Any, list[tuple[Gradient, Array]], dict[str, Array]]:
    """Call the loss function of `minimize`; return the value, the pairs of a step, and the variables by name."""
    if not callable(loss):
        raise TypeError(f"loss={loss!r} is not a function; pass one that returns (value, gradients)")
    known = named(variables)
    result = loss()
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"loss() returned {type(result).__name__}, not a tuple (value, gradients)")
    value, gradients = result
    if isinstance(gradients, Mapping):
        unknown = ", ".join(repr(name) for name in gradients if name not in known)
        if unknown:
            raise ValueError(f"loss() returned gradients for {unknown}, which are no variables")
        gradients = [gradients.get(name) for name in known]
    gradients = list(gradients)
    if len(gradients) != len(known):
        raise ValueError(f"loss() returned {len(gradients)} gradients for {len(known)} variables")
    return value, list(zip(gradients, known.values(), strict=True)), known


def is_swapped(state: "State | None") -> Callable[[Any, Any], bool]:
    """Return a test of a pair: whether its first is the variable. Before `build` any array may be a variable."""
    if state is None:
        return lambda gradient, variable: (
            isinstance(gradient, numpy.ndarray) and (variable is None or isinstance(variable, RowSparse))
        )
    holds = state.variables.holds
    return lambda gradient, variable: holds(gradient) and not holds(variable)


@final
class Variables:
    """Arrays that a step may write to.

    Args:
        variables: a list of arrays, or a mapping of names to them.

    Raises:
        TypeError: something is not an array of float16, bfloat16, float32 or float64.
        ValueError: an array is read-only, or shares memory with itself or with another, or there is none.
    """

    def __init__(self, variables: Collection) -> None:
        found = named(variables)
        for name, array in found.items():
            _check(name, array)
        self.names, self.arrays = list(found), list(found.values())
        if not self.arrays:
            raise ValueError(f"variables={variables!r} holds no array")
        if overlap := first_overlap(self.arrays):
            one, other = (self.names[index] for index in overlap)
            if self.arrays[overlap[0]] is self.arrays[overlap[1]]:
                raise ValueError(f"variables {one!r} and {other!r} are the same array: it would be stepped twice")
            raise ValueError(f"variables {one!r} and {other!r} share memory: a step would update it twice")
        self._built = [_memory(array) for array in self.arrays]
        self._places = {id(array): index for index, array in enumerate(self.arrays)}
        self._memory = {memory: index for index, memory in enumerate(self._built) if self.arrays[index].size}

    def find(self, variable: Any) -> int:
        """Return the number of a variable: the same array, or another view of exactly the same memory.

        Raises:
            ValueError: the optimizer was not built for it.
        """
        index = self._places.get(id(variable))
        if index is None and isinstance(variable, numpy.ndarray):
            index = self._memory.get(_memory(variable))
        if index is None:
            is_array = isinstance(variable, numpy.ndarray)
            shown = (
                f"of shape {variable.shape} and type {variable.dtype}" if is_array else f"that is a {_type(variable)}"
            )
            raise ValueError(
                f"a variable {shown} is not among those the optimizer was built for "
                f"({', '.join(self.names)}): pass all variables to build() first, and change arrays in place "
                "(w[...] = value) instead of making new ones"
            )
        return index

    def holds(self, variable: Any) -> bool:
        """Whether the optimizer was built for it."""
        known = isinstance(variable, numpy.ndarray) and _memory(variable) in self._memory
        return known or id(variable) in self._places

    def are(self, others: "Variables") -> bool:
        """Whether these are the same arrays in the same order, or views of exactly their memory."""
        return [_memory(array) for array in self.arrays] == [_memory(array) for array in others.arrays]

    def check(self, index: int, writing: bool = True) -> None:
        """Raise a ValueError if an array is no longer what it was at build, or cannot be written to."""
        array, name = self.arrays[index], self.names[index]
        if writing and not array.flags.writeable:
            raise ValueError(f"variable {name!r} has become read-only; it would have to be written to")
        if _memory(array) != self._built[index]:
            raise ValueError(f"variable {name!r} was resized, reshaped or retyped since build: its state is lost")

    def check_all(self, writing: bool = True) -> None:
        """Check every array."""
        for index in range(len(self.arrays)):
            self.check(index, writing)

    def items(self) -> Iterator[tuple[str, Array]]:
        """Return names and arrays in order."""
        return zip(self.names, self.arrays, strict=True)

    def match(self, pairs: Iterable[tuple[Gradient, Any]]) -> dict[int, Any]:
        """Sort the gradients of a step by the numbers of their variables; None gradients are left out with a warning.

        Raises:
            ValueError: a variable is unknown or given twice, or all gradients are None.
        """
        present: dict[int, Any] = {}
        missing: dict[int, str] = {}
        places = self._places
        for gradient, variable in pairs:
            index = places.get(id(variable), -1)
            if index < 0:
                index = self.find(variable)
            if index in present or index in missing:
                raise ValueError(f"variable {self.names[index]!r} is given twice in one step")
            if gradient is None:
                missing[index] = self.names[index]
            else:
                present[index] = gradient
        if list(present) != sorted(present):
            # The order of the pairs shall not show, neither in a global norm nor in the plan.
            present = dict(sorted(present.items()))
        if missing:
            names = ", ".join(missing.values())
            if not present:
                raise ValueError(f"no variable has a gradient: all of {names} came with None")
            warn(f"variables without a gradient are left as they are: {names}")
        return present


def _check(name: str, array: Any) -> None:
    if not isinstance(array, numpy.ndarray) or is_masked(array):
        advice = stepped_by(array, here="numpy") or "make it numpy.array(value, dtype=float)"
        raise TypeError(f"variable {name!r} is a {_type(array)}, not an array that can be updated in place: {advice}")
    if not is_float(array.dtype):
        raise TypeError(f"variable {name!r} has the type {array.dtype}: it must be native {', '.join(FLOATS)}")
    if not array.flags.writeable:
        raise ValueError(f"variable {name!r} is read-only: pass a copy, or set array.flags.writeable")
    if overlaps_itself(array):
        raise ValueError(f"variable {name!r} repeats memory (strides {array.strides}), as broadcast arrays do: copy it")


def _memory(array: Array) -> tuple[Any, ...]:
    return address(array), array.shape, array.strides, array.dtype


def _type(value: Any) -> str:
    return type(value).__name__
