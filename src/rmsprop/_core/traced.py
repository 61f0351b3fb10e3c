"""A step by a framework's own operations: what every framework's adapter has in common.

An adapter is an object with the methods of `Operations`. The order is that of the rule: norms and their scales first,
then variable after variable. `rmsprop._core.plain` calls the rule on NumPy's arrays by the same `call_rule`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.rule import SCALARS, STATE
from rmsprop._core.tables import compute_type


class Operations(Protocol):
    """What a framework computes a step with."""

    #: The rule, bound to the framework's functions: see `rmsprop._core.rule.bind`.
    update: Callable[..., Any]

    def dtype(self, array: Any) -> str:
        """Return the name of an array's type."""

    def cast(self, array: Any, dtype: str) -> Any:
        """Return an array in another type."""

    def scalar(self, number: Any, dtype: str) -> Any:
        """Return a number, or an array without axes, in the type of computation."""

    def dense(self, item: Item) -> Any:
        """Return the gradient with all of its rows; rows that repeat are summed, those of half types in float32."""


class Norms(Operations, Protocol):
    """Operations of a framework that finds norms where it steps, not on the host."""

    def squares(self, item: Item) -> Any:
        """Return the sum of the squares of a gradient, in the form that the two methods for scales take."""

    def own_scale(self, squares: Any, limit: Any) -> Any:
        """Return limit / max(norm, limit) for the norm of one gradient."""

    def joint_scale(self, squares: Sequence[Any], limit: Any) -> Any:
        """Return limit / max(norm, limit) for the norm of all gradients; NaN where the norm is not finite."""


def step(
    operations: Norms, options: Options, items: Sequence[Item], learning_rate: Any, iterations: Any
) -> Iterator[tuple[Item, dict[str, Any]]]:
    """Step variables one after another.

    Args:
        operations: the framework's adapter.
        options: the checked arguments.
        items: what is stepped.
        learning_rate: a number, or an array without axes.
        iterations: steps done before, an int or an int64 array without axes.

    Yields:
        Each item with its new values, as `advance` returns them.
    """
    overwrite, scales = options.overwrites(iterations), clip_scales(operations, options, items)
    for item, scale in zip(items, scales, strict=True):
        yield item, advance(operations, options, item, learning_rate, scale, overwrite)


def clip_scales(operations: Norms, options: Options, items: Sequence[Item]) -> list[Any]:
    """Return what each gradient is multiplied by to limit a norm, an array without axes; None without such a limit."""
    if not options.clips_by_norm:
        return [None] * len(items)
    squares = [operations.squares(item) for item in items]
    if options.clipnorm is not None:
        return [operations.own_scale(one, options.clipnorm) for one in squares]
    return [operations.joint_scale(squares, options.global_clipnorm)] * len(items)


def advance(
    operations: Operations, options: Options, item: Item, learning_rate: Any, clip_scale: Any, overwrite: Any
) -> dict[str, Any]:
    """Step one variable.

    Args:
        operations: the framework's adapter.
        options: the checked arguments.
        item: the variable, its gradient and its state.
        learning_rate: a number, or an array without axes.
        clip_scale: what the gradient is multiplied by, a number or an array without axes; None: nothing.
        overwrite: whether the variable becomes its average, a bool or a bool array; None: it never does.

    Returns:
        The new values by the names of `Item.state`, in the types of the old ones.
    """
    state = item.state()
    compute = compute_type(*map(operations.dtype, state.values()))
    numbers = {**options.constants(item.decays), "learning_rate": learning_rate}
    if clip_scale is not None:
        numbers["clip_scale"] = clip_scale
    scalars = {name: operations.scalar(number, compute) for name, number in numbers.items()}
    if overwrite is not None:
        scalars["overwrite"] = overwrite
    wide = {name: operations.cast(array, compute) for name, array in state.items()}
    new = call_rule(operations.update, operations.cast(operations.dense(item), compute), wide, scalars)
    return {name: operations.cast(value, operations.dtype(state[name])) for name, value in new.items()}


def call_rule(
    update: Callable[..., Any], gradient: Any, state: Mapping[str, Any], scalars: Mapping[str, Any]
) -> dict[str, Any]:
    """Call the rule with those arguments by name that are on, and return the new state by name."""
    results = update(gradient, *map(state.get, STATE), *map(scalars.get, SCALARS))
    return {name: value for name, value in zip(STATE, results, strict=True) if name in state}
