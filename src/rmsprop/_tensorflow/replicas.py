"""A step on variables that a distribution strategy copies: each copy is stepped on its device, by traced operations."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.traced import advance, clip_scales
from rmsprop._tensorflow import traced

#: A function that a variable's new value passes through, or None.
Constraint = Callable[[Any], Any] | None


def spread(options: Options, items: Sequence[Item], constraints: Sequence[Constraint]) -> list[list[Any]]:
    """Return the columns of a replica's step, which `step` receives merged with those of the other replicas."""
    gradients = [item.gradient for item in items]
    variables, slots = [item.variable for item in items], [item.slots for item in items]
    scales, decays = clip_scales(traced.OPERATIONS, options, items), [item.decays for item in items]
    return [gradients, variables, slots, scales, decays, list(constraints)]


@tf.autograph.experimental.do_not_convert
def step(distribution: Any, options: Options, rate: Any, iterations: Any, columns: Sequence[Sequence[Any]]) -> None:
    """Step all copies of all variables.

    Args:
        distribution: the strategy.
        options: the checked arguments.
        rate: a tensor without axes of any float type.
        iterations: steps done before, an integer tensor without axes.
        columns: the result of `spread`, of all replicas.
    """
    overwrite = options.overwrites(traced.counter(iterations))
    for gradient, variable, slots, scale, decays, constraint in zip(*columns, strict=True):

        @tf.autograph.experimental.do_not_convert
        def update(
            variable: Any,
            gradient: Any,
            slots: dict[str, Any],
            scale: Any,
            decays: bool = decays,
            constraint: Constraint = constraint,
        ) -> None:
            item = Item(variable, gradient, slots, decays)
            new = advance(traced.OPERATIONS, options, item, rate, scale, overwrite)
            traced.assign(item, new, constraint)

        # If a function of the user raises in place of a rate, nothing is assigned, not even what needs no rate.
        with tf.control_dependencies([rate]):
            distribution.extended.update(variable, update, args=(gradient, slots, scale), group=False)


def first_copied(items: Sequence[Item]) -> Any:
    """Return a variable that a strategy copies, None if there is none."""
    copied = (item.variable for item in items if isinstance(item.variable, tf.distribute.DistributedValues))
    return next(copied, None)


def is_replica() -> bool:
    """Whether this call is one replica's of a strategy.

    Raises:
        RuntimeError: it is in a strategy's scope, but not in one of its replicas.
    """
    if not tf.distribute.has_strategy():
        return False
    if tf.distribute.in_cross_replica_context():
        raise RuntimeError(
            "apply_gradients is a replica's: call it in a function that is given to "
            f"{type(tf.distribute.get_strategy()).__name__}.run"
        )
    return True
