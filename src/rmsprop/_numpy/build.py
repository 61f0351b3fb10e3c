"""What an optimizer of NumPy arrays makes of its arguments and its variables: the state, or an explanation."""

import re
from collections.abc import Iterable
from typing import final

import numpy

from rmsprop._core.exclusion import compile_patterns, excluded_by_name
from rmsprop._core.explain import NEEDED, Explanation
from rmsprop._core.options import Options
from rmsprop._core.slots import slots
from rmsprop._core.switches import against_native
from rmsprop._numpy.state import State
from rmsprop._numpy.variables import Array, Collection, Variables, named


@final
class Exclusion:
    """Variables that weight decay leaves alone; the arguments are those of `exclude_from_weight_decay`."""

    def __init__(
        self, var_list: Iterable[Array] | None = None, var_names: Iterable[str | re.Pattern[str]] | None = None
    ) -> None:
        if isinstance(var_list, numpy.ndarray):
            raise TypeError("var_list is one array: pass a list of arrays, [w]")
        self._patterns = compile_patterns(var_names)
        self._arrays = list(var_list or ())
        # The names and the answer of the last build: a first step that is refused is done again, and warns once.
        self._last: tuple[list[str], list[bool]] | None = None

    def decayed(self, options: Options, variables: Variables, *, warns: bool) -> list[bool]:
        """Return for each variable whether weight decay applies."""
        if not warns:
            by_name = self._by_name(variables, warns=False)
        else:
            if self._last is None or self._last[0] != variables.names:
                self._last = variables.names, self._by_name(variables, warns=True)
            by_name = self._last[1]
        listed = {variables.find(array) for array in self._arrays}
        return [options.decays and not one and index not in listed for index, one in enumerate(by_name)]

    def _by_name(self, variables: Variables, *, warns: bool) -> list[bool]:
        return excluded_by_name(self._patterns, [[name] for name in variables.names], warns=warns)


def start(options: Options, native: bool | None, exclusion: Exclusion, collection: Collection) -> State:
    """Return the state for variables, at its starting values."""
    variables = Variables(collection)
    return State(options, variables, exclusion.decayed(options, variables, warns=True), native)


def built(state: State | None, method: str) -> State:
    """Return the state, which a method needs.

    Raises:
        ValueError: the optimizer is not built.
    """
    if state is None:
        raise ValueError(f"{method} needs the variables: call build(variables) first")
    return state


def explain(
    state: State | None, options: Options, native: bool | None, exclusion: Exclusion, chosen: Collection | None
) -> Explanation:
    """Explain a step of chosen variables; None: of all. See `rmsprop.numpy.RMSprop.explain`."""
    from rmsprop._core.explaining import explain_arrays
    from rmsprop._core.inplace import Member

    if state is not None:
        known, members, off = state.variables, state.engine.members(), state.engine.off
        places = [known.find(array) for array in (known.arrays if chosen is None else named(chosen).values())]
        names = [known.names[place] for place in places]
        return explain_arrays("numpy", names, [members[place] for place in places], off)
    if chosen is None:
        raise ValueError(NEEDED)
    variables = Variables(chosen)
    decayed = exclusion.decayed(options, variables, warns=False)
    on = [slot.name for slot in slots(options)]
    members = [
        Member(array, dict.fromkeys(on, array), options, decays)
        for array, decays in zip(variables.arrays, decayed, strict=True)
    ]
    return explain_arrays("numpy", variables.names, members, against_native(native))
