"""Learning rates: numbers, schedules, and functions of the step or of nothing."""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, ForwardRef, NoReturn, TypeAlias, TypeGuard

import rmsprop  # noqa: F401 - for the name of a class below
from rmsprop._core.checks import check_number

if TYPE_CHECKING:
    from rmsprop.schedules import LearningRateSchedule

    #: What `learning_rate` may be: a number, a schedule, or a function of the step or of nothing.
    LearningRate: TypeAlias = float | LearningRateSchedule | Callable[..., Any]
else:
    # The class is loaded when `typing.get_type_hints` asks for it, from whichever module an annotation stands in.
    _Schedule = ForwardRef("rmsprop.schedules.LearningRateSchedule", module=__name__)
    LearningRate = float | _Schedule | Callable[..., Any]

#: The advice where a number is assigned while a schedule rules.
_ASSIGN: Final = ": assign another schedule, or construct the optimizer with a number"

#: What a learning rate may be, and the advice for a model, or its variables.
_OR_ELSE: Final = ", or a schedule, or a function"
_NO_MODEL: Final = ": variables and their gradients come with each step, not here"


def is_schedule(value: Any) -> "TypeGuard[LearningRateSchedule]":
    """Whether it is a `LearningRateSchedule`; nothing can be one before that class is loaded."""
    schedules = sys.modules.get("rmsprop.schedules")
    return schedules is not None and isinstance(value, schedules.LearningRateSchedule)


def check_learning_rate(value: Any) -> LearningRate:
    """Check a learning rate given at construction or set later."""
    if is_schedule(value):
        return value
    if callable(value) and not isinstance(value, type):
        # Of the class: Keras's layers have no weights before they are built, and tf_keras's then raise an error. A
        # module of torch without parameters may be a schedule.
        if hasattr(type(value), "trainable_weights") or (
            hasattr(type(value), "named_parameters") and any(True for _ in value.named_parameters())
        ):
            raise TypeError(f"learning_rate={value!r} is a model, not a number{_OR_ELSE}{_NO_MODEL}")
        function: Callable[..., Any] = value
        takes_the_step(function)
        return function
    several = isinstance(value, Iterable) and not isinstance(value, str) and not hasattr(value, "dtype")
    return check_number("learning_rate", value, or_else=_OR_ELSE + _NO_MODEL * several)


def refuse_number(value: Any, ruling: Any, what: str = "learning_rate", advice: str = _ASSIGN) -> NoReturn:
    """Raise the TypeError of a number that is assigned to `what` while the schedule or function `ruling` rules."""
    raise TypeError(f"{what}={value!r} cannot be set while the schedule {ruling!r} rules{advice}")


def rate_function(value: LearningRate) -> Callable[[int], float]:
    """Return the learning rate as a function of the iterations that are done."""
    if not callable(value):
        return lambda iterations: value
    function: Callable[..., Any] = value
    if is_schedule(value) or takes_the_step(function):
        return lambda iterations: check_number(f"learning_rate({iterations})", function(iterations))
    return lambda iterations: check_number("learning_rate()", function())


def takes_the_step(function: Callable[..., Any]) -> bool:
    """Whether a function is called with the step, or with nothing; one that admits both is refused."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in function may have none
        return True
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    if positional and all(p.default is not p.empty for p in positional):
        raise TypeError(
            f"learning_rate={function!r} may be called with the step or with nothing: give its first parameter no "
            "default, or let it have none"
        )
    return bool(positional)
