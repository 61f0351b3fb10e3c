"""How a step on arrays of the CPU will go, by the predicates and the planner of steps, without a kernel."""

from collections.abc import Sequence

from rmsprop._core import slots as _slots
from rmsprop._core.explain import Choice, Explanation, describe, summarize
from rmsprop._core.forms import kind_of_variable
from rmsprop._core.inplace import Member, against_kernels, count_launches
from rmsprop._core.options import Options
from rmsprop._core.slots import slot_dtype
from rmsprop._core.switches import default_threads


def choose_kernels(options: Options, off: str | None = None) -> Choice:
    """Return how arrays of the CPU are stepped; arguments as for `against_kernels`, and no warning."""
    reason = against_kernels(options, off)
    return Choice("plain", reason=reason) if reason else Choice("native", "numba")


def explain_arrays(front_end: str, names: Sequence[str], members: Sequence[Member], off: str) -> Explanation:
    """Explain a step in which each variable has a gradient with its own type and strides.

    Args:
        front_end: its name.
        names: of the variables.
        members: the variables; only the names of their slots count.
        off: why the user wants no native steps; "" if there is no reason.
    """
    described, native = [], []
    for name, member in zip(names, members, strict=True):
        options, dtype = member.options, member.variable.dtype
        choice = choose_kernels(options, off)
        slots = {slot.name: slot_dtype(options, dtype).name for slot in _slots.slots(options)}
        described.append(
            (name, describe(member.variable.shape, dtype.name, slots, choice, clips_by_norm=options.clips_by_norm))
        )
        native += [member] if choice.way == "native" else []
    launches = count_launches([kind_of_variable(place, one.variable) for place, one in enumerate(native)], native)
    return summarize(front_end, described, launches, default_threads())
