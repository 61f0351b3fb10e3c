"""Every argument of the optimizer: its default, its check, its error text, and its form in a config.

All front ends have the same arguments and hand them to `Options`, which checks them once, at construction.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard, Union

from rmsprop._core.other_words import OTHER_WORDS, refuse_unknown

if TYPE_CHECKING:
    from rmsprop.schedules import LearningRateSchedule

#: What `learning_rate` may be: a number, a schedule, or a function of the step or of nothing.
LearningRate = Union[float, "LearningRateSchedule", Callable[..., Any]]

#: The types of variables, gradients and state.
FLOATS: Final = ("float16", "bfloat16", "float32", "float64")

#: Entries that only configs of tf_keras have, and that say nothing about the update.
_SWALLOWED: Final = ("is_legacy_optimizer",)

#: The advice for a model, or its variables, in place of a learning rate.
_NO_MODEL: Final = ": variables and their gradients come with each step, not here"

_CLIPS: Final = ("clipnorm", "clipvalue", "global_clipnorm")


@dataclass(frozen=True, eq=False, repr=False)
class Options:
    """The checked arguments; numbers are Python floats, which a kernel rounds once."""

    learning_rate: LearningRate = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = 100
    jit_compile: bool = True
    name: str = "RMSprop"
    initial_velocity: float = 0.0
    slot_dtype: str | None = None

    def __post_init__(self) -> None:
        for argument, check in _CHECKS.items():
            self._set(argument, check(argument, getattr(self, argument)))
        clips = [f"{clip}={getattr(self, clip)!r}" for clip in _CLIPS if getattr(self, clip) is not None]
        if len(clips) > 1:
            raise ValueError(f"{' and '.join(clips)} were given: at most one of {', '.join(_CLIPS)} is allowed")

    def _set(self, argument: str, value: Any) -> None:
        object.__setattr__(self, argument, value)

    @property
    def decays(self) -> bool:
        """Whether weight decay is on: 0 means off, so that an infinite weight stays infinite."""
        return bool(self.weight_decay)

    @property
    def has_momentum(self) -> bool:
        """Whether there is a momentum."""
        return self.momentum > 0

    @property
    def clips_by_norm(self) -> bool:
        """Whether a step must know a norm before it starts."""
        return self.clipnorm is not None or self.global_clipnorm is not None

    def overwrites(self, iteration: int) -> bool:
        """Whether the step after `iteration` finished ones replaces the variables by their averages."""
        frequency = self.ema_overwrite_frequency
        return self.use_ema and frequency is not None and (iteration + 1) % frequency == 0

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as values that JSON can hold."""
        config, rate = dict(vars(self)), self.learning_rate
        if is_schedule(rate):
            from rmsprop import schedules

            config["learning_rate"] = schedules.serialize(rate)
        elif callable(rate):
            raise ValueError(
                f"learning_rate={rate!r} is a plain function and cannot be written to a config: "
                "make it a subclass of rmsprop.schedules.LearningRateSchedule with get_config"
            )
        return config

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None, others: Sequence[str] = ()
    ) -> Self:
        """Make options from `get_config`'s result, or from a config that tf_keras wrote.

        An entry that is missing has its default, as configs of earlier versions have fewer entries. `others` are
        arguments of the front end that are no options; their entries are ignored.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"config={config!r} is no mapping of arguments")
        arguments = {key: value for key, value in config.items() if key not in (*_SWALLOWED, *others)}
        if any(key in config for key in _SWALLOWED):
            # Without a GPU tf_keras turns it off and writes that down, whatever the user wanted.
            arguments.pop("jit_compile", None)
        rate = arguments.get("learning_rate")
        if isinstance(rate, Mapping):
            from rmsprop import schedules

            arguments["learning_rate"] = schedules.deserialize(rate, custom_objects=custom_objects)
        for clip in _CLIPS:
            # tf_keras reads 0 and less as "no clip", and writes it back like that.
            if isinstance(arguments.get(clip), Real) and arguments[clip] <= 0:
                arguments[clip] = None
        known = cls.__dataclass_fields__
        refuse_unknown({key: value for key, value in arguments.items() if key not in known}, [*known, *others])
        return cls(**arguments)


def refuse_attribute(
    owner: str, name: str, value: Any, assignable: str = "learning_rate and iterations are what may be assigned"
) -> None:
    """Raise an AttributeError if an assigned attribute is an argument, or another library's word for one.

    Nothing would ever read such an attribute. A front end calls this from its `__setattr__` for the names that are
    none of its own attributes or properties.

    Args:
        owner: the users' name of the optimizer's class, for the error text.
        name: the attribute.
        value: what is assigned.
        assignable: what may be assigned, for the error text.
    """
    if name in OTHER_WORDS:
        raise AttributeError(f"{owner} has no attribute {name!r} to set to {value!r}: {OTHER_WORDS[name]}")
    if name in (*Options.__dataclass_fields__, "native") and name != "name":
        raise AttributeError(f"{name}={value!r} cannot be assigned: give {name} to the constructor; {assignable}")


def options_repr(options: Options, name: str, **others: Any) -> str:
    """Return the call of a constructor with the arguments that are not at their defaults.

    Args:
        options: the checked arguments.
        name: of the class.
        **others: arguments of the front end that are no options; their default is None.
    """
    defaults = {field.name: field.default for field in fields(options)}
    return call_repr(name, {**vars(options), **others}, {**defaults, **dict.fromkeys(others)})


def call_repr(name: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return a call with the arguments that are not at their defaults."""
    given = [
        f"{argument}={value!r}"
        for argument, value in arguments.items()
        # By type first: the value may be an array, or traced.
        if argument not in defaults or type(value) is not type(defaults[argument]) or value != defaults[argument]
    ]
    return f"{name}({', '.join(given)})"


def is_schedule(value: Any) -> "TypeGuard[LearningRateSchedule]":
    """Whether it is a `LearningRateSchedule`; nothing can be one before that class is loaded."""
    schedules = sys.modules.get("rmsprop.schedules")
    return schedules is not None and isinstance(value, schedules.LearningRateSchedule)


def check_learning_rate(value: Any) -> LearningRate:
    """Check a learning rate given at construction or set later."""
    if is_schedule(value):
        return value
    if callable(value) and _is_model(value):
        raise TypeError(f"learning_rate={value!r} is a model, not a number, or a schedule, or a function{_NO_MODEL}")
    if callable(value) and not isinstance(value, type):
        function: Callable[..., Any] = value
        _takes_the_step(function)
        return function
    several = isinstance(value, Iterable) and not isinstance(value, str) and not hasattr(value, "dtype")
    advice = _NO_MODEL if several else ""
    return _number("learning_rate", value, or_else=f", or a schedule, or a function{advice}")


def with_rate(options: Options, value: Any) -> Options:
    """Return the options with another learning rate.

    Raises:
        TypeError: it is a number while a schedule rules, or nothing that can be a learning rate.
        ValueError: it is below 0 or not finite.
    """
    value, ruling = check_learning_rate(value), options.learning_rate
    if callable(ruling) and not callable(value):
        raise TypeError(
            f"learning_rate={value!r} cannot be set while the schedule {ruling!r} rules: "
            "assign another schedule, or construct the optimizer with a number"
        )
    return replace(options, learning_rate=value)


def _is_model(value: Any) -> bool:
    """Whether a callable is a model of Keras or torch, which cannot be called with the step.

    A module of torch without parameters, or of TensorFlow, may well be a schedule.
    """
    # Of the class: Keras's layers have no weights before they are built, and tf_keras's then raise an error.
    if hasattr(type(value), "trainable_weights"):
        return True
    return hasattr(type(value), "named_parameters") and any(True for _ in value.named_parameters())


def check_iterations(value: Any) -> int:
    """Check a number of finished steps that was set or read; files and frameworks have it as int64."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < 2**63:
        raise ValueError(f"iterations={value!r} is not a whole number from 0 to 2**63 - 1")
    return int(value)


def rate_function(value: LearningRate) -> Callable[[int], float]:
    """Return the learning rate as a function of the iterations that are done."""
    if not callable(value):
        return lambda iterations: value
    function: Callable[..., Any] = value
    if is_schedule(value) or _takes_the_step(function):
        return lambda iterations: _number(f"learning_rate({iterations})", function(iterations))
    return lambda iterations: _number("learning_rate()", function())


def _takes_the_step(function: Callable[..., Any]) -> bool:
    """Whether a function is called with the step, or with nothing; one that admits both is refused."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return True
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    if positional and all(p.default is not p.empty for p in positional):
        raise TypeError(
            f"learning_rate={function!r} may be called with the step or with nothing: give its first parameter no "
            "default, or let it have none"
        )
    return bool(positional)


def _number(argument: str, value: Any, *, high: float = math.inf, zero: bool = True, or_else: str = "") -> float:
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and not isinstance(value, Real):
        if hasattr(value, "numpy") and not hasattr(value, "item"):  # an eager tensor of TensorFlow
            value = value.numpy()
        value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument}={value!r} is not a number{or_else}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    above = number >= 0 if zero else number > 0
    if not (above and number <= high and math.isfinite(number)):
        least = "at least 0" if zero else "greater than 0"
        limit = f" and at most {high:g}" if math.isfinite(high) else ""
        raise ValueError(f"{argument}={value!r} is not a finite number {least}{limit}")
    return number


def _fraction(argument: str, value: Any) -> float:
    return _number(argument, value, high=1.0)


def _decay(argument: str, value: Any) -> float | None:
    return None if value is None else _number(argument, value)


def _limit(argument: str, value: Any) -> float | None:
    return None if value is None else _number(argument, value, zero=False)


def _flag(argument: str, value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{argument}={value!r} is not True or False")
    return bool(value)


def _frequency(argument: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument}={value!r} is not a whole number or None")
    if value < 1:
        raise ValueError(f"{argument}={value!r} is not a whole number of at least 1, or None")
    return int(value)


def _text(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a string")
    return str(value)  # NumPy's strings are strings, but no plain ones


def _type_name(argument: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a name, one of {', '.join(FLOATS)}, or None")
    if value is not None and value not in FLOATS:
        raise ValueError(f"{argument}={value!r} is not one of {', '.join(FLOATS)}, or None")
    return None if value is None else str(value)


#: The check of each argument, which returns it as a plain value, in the order of the checks.
_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "learning_rate": lambda argument, value: check_learning_rate(value),
    **dict.fromkeys(("rho", "momentum", "ema_momentum"), _fraction),
    **dict.fromkeys(("epsilon", "initial_velocity"), _number),
    "weight_decay": _decay,
    **dict.fromkeys(("centered", "use_ema", "jit_compile"), _flag),
    **dict.fromkeys(_CLIPS, _limit),
    "ema_overwrite_frequency": _frequency,
    "name": _text,
    "slot_dtype": _type_name,
}
