"""The arguments that both interfaces take."""

from typing import Any

from rmsprop._core.options import _takes_the_step, is_schedule
from rmsprop._jax.array_options import ArrayOptions


def options_of(*arguments: Any) -> ArrayOptions:
    """Check the arguments, in the order of `ArrayOptions`, which says what they are when they are checked."""
    return ArrayOptions(*arguments)


def is_called_with_nothing(rate: Any) -> bool:
    """Whether a learning rate is a function that is not told the step."""
    return callable(rate) and not is_schedule(rate) and not _takes_the_step(rate)


def is_called_with_the_step(rate: Any) -> bool:
    """Whether a learning rate is a schedule, or a function that is told the step."""
    return callable(rate) and not is_called_with_nothing(rate)


def check_rate(rate: Any) -> None:
    """Refuse a learning rate that would be read once, when the step is traced, and never again."""
    if is_called_with_nothing(rate):
        raise TypeError(
            f"learning_rate={rate!r} takes no step: it would be called when the step is traced, not when it runs. Use "
            "a function of the step, or a number with optax.inject_hyperparams"
        )
