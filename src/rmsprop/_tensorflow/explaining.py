"""How a step on TensorFlow's variables will be done, by the predicates and the planner of steps, without a kernel."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import tensorflow as tf

from rmsprop._core import slots as _slots
from rmsprop._core.explain import Choice, Explanation, describe, summarize
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._tensorflow import replicas
from rmsprop._tensorflow.available import within_xla
from rmsprop._tensorflow.checks import dtype_of, numpy_dtype
from rmsprop._tensorflow.engine import Engine


@final
class Unbuilt(NamedTuple):
    """A slot before it is built, with what a choice looks at."""

    shape: Any
    dtype: Any
    device: str | None


def item_of(options: Options, variable: Any, decays: bool, slots: Mapping[str, Any] | None = None) -> Item:
    """Return a variable as an item with a dense gradient of its own type.

    Args:
        options: the checked arguments.
        variable: the variable.
        decays: whether weight decay applies.
        slots: its state; None: it is not built.
    """
    if slots is None:
        dtype = tf.as_dtype(_slots.slot_dtype(options, numpy_dtype(dtype_of(variable))))
        unbuilt = Unbuilt(variable.shape, dtype, getattr(variable, "device", None))
        slots = {slot.name: unbuilt for slot in _slots.slots(options)}
    return Item(variable, tf.TensorSpec(variable.shape, dtype_of(variable)), slots, decays)


def explain(
    front_end: str,
    options: Options,
    names: Sequence[str],
    items: Sequence[Item],
    *,
    engine: Engine,
    compiled: bool,
    elsewhere: str = "",
) -> Explanation:
    """Explain a step.

    Args:
        front_end: its name.
        options: the checked arguments.
        names: of the variables.
        items: the variables.
        engine: what would do the step.
        compiled: whether XLA compiles what our kernels do not do.
        elsewhere: why the engine does not do the step; "" if it does.
    """
    choice = _choose(items, engine, compiled, elsewhere)
    described = []
    for name, item in zip(names, items, strict=True):
        slots = {slot: numpy_dtype(one.dtype).name for slot, one in item.slots.items()}
        shape, dtype = item.variable.shape, numpy_dtype(dtype_of(item.variable)).name
        lengths = [length or 0 for length in shape] if shape.rank is not None else []
        described.append((name, describe(lengths, dtype, slots, choice, clips_by_norm=options.clips_by_norm)))
    launches = helping = 0
    if choice.way == "native":
        # Numba is there.
        from rmsprop._tensorflow.native import count_launches, threads

        launches, helping = count_launches(options, items), threads()
    return summarize(front_end, described, launches, helping)


def _choose(items: Sequence[Item], engine: Engine, compiled: bool, elsewhere: str) -> Choice:
    if replicas.first_copied(items) is not None:
        elsewhere = "a distribution strategy copies the variables"
    if elsewhere:
        return Choice("traced", reason=elsewhere)
    if within_xla():
        return Choice("traced", "xla", "compiled by XLA: jit_compile=True in the function around")
    reason = engine.against(items)
    return Choice("traced", "xla" if compiled else "", reason) if reason else Choice("native", "numba")
