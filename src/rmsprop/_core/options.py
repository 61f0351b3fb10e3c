"""The arguments of all front ends: defaults, checks at construction, error texts, and their form in a config."""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard, Union

from rmsprop._core.other_words import OTHER_WORDS, refuse_unknown

if TYPE_CHECKING:
    from rmsprop.schedules import LearningRateSchedule

#: What `learning_rate` may be: a number, a schedule, or a function of the step or of nothing.
LearningRate = Union[float, "LearningRateSchedule", Callable[..., Any]]

#: The types of variables, gradients and state.
FLOATS: Final = ("float16", "bfloat16", "float32", "float64")

#: An entry that only configs of tf_keras have, without an effect on the update.
_LEGACY: Final = "is_legacy_optimizer"

#: What a learning rate may be, and the advice for a model, or its variables.
_OR_ELSE: Final = ", or a schedule, or a function"
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

    def overwrites(self, iterations: Any) -> Any:
        """Whether the step after `iterations` finished ones overwrites by averages, as a bool or an array; or None."""
        frequency = self.ema_overwrite_frequency
        if not self.use_ema or frequency is None:
            return None
        # Not `iterations + 1`, which an array may not hold.
        return iterations % frequency == frequency - 1

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as values that JSON can hold."""
        config, rate = _by_name(self), self.learning_rate
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

        A missing entry has its default. `others` are arguments of the front end that are no options, and ignored.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"config={config!r} is no mapping of arguments")
        arguments = {key: value for key, value in config.items() if key not in (_LEGACY, *others)}
        if _LEGACY in config:
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
    none of its own attributes or properties. `owner` is the users' name of the optimizer's class.
    """
    if name in OTHER_WORDS:
        raise AttributeError(f"{owner} has no attribute {name!r} to set to {value!r}: {OTHER_WORDS[name]}")
    if name in (*Options.__dataclass_fields__, "native") and name != "name":
        raise AttributeError(f"{name}={value!r} cannot be assigned: give {name} to the constructor; {assignable}")


def options_repr(options: Options, name: str, **others: Any) -> str:
    """Return the call of a constructor with the arguments that are not at their defaults.

    `others` are arguments of the front end that are no options; their default is None.
    """
    defaults = {field.name: field.default for field in fields(options)}
    return call_repr(name, {**_by_name(options), **others}, {**defaults, **dict.fromkeys(others)})


def _by_name(options: Options) -> dict[str, Any]:
    # By fields: options that an earlier version pickled lack the attributes of later arguments.
    return {field.name: getattr(options, field.name) for field in fields(options)}


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
    if callable(value) and not isinstance(value, type):
        # Of the class: Keras's layers have no weights before they are built, and tf_keras's then raise an error. A
        # module of torch without parameters may be a schedule.
        if hasattr(type(value), "trainable_weights") or (
            hasattr(type(value), "named_parameters") and any(True for _ in value.named_parameters())
        ):
            raise TypeError(f"learning_rate={value!r} is a model, not a number{_OR_ELSE}{_NO_MODEL}")
        function: Callable[..., Any] = value
        _takes_the_step(function)
        return function
    several = isinstance(value, Iterable) and not isinstance(value, str) and not hasattr(value, "dtype")
    return _number("learning_rate", value, or_else=_OR_ELSE + _NO_MODEL * several)


def with_rate(options: Options, value: Any) -> Options:
    """Return the options with another learning rate, checked: no number while a schedule rules."""
    value, ruling = check_learning_rate(value), options.learning_rate
    if callable(ruling) and not callable(value):
        raise TypeError(
            f"learning_rate={value!r} cannot be set while the schedule {ruling!r} rules: "
            "assign another schedule, or construct the optimizer with a number"
        )
    return replace(options, learning_rate=value)


def check_iterations(value: Any) -> int:
    """Check a number of finished steps, an int64 in files and frameworks."""
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


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda argument, value: None if value is None else check(argument, value)


def _flag(argument: str, value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{argument}={value!r} is not True or False")
    return bool(value)


def _frequency(argument: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument}={value!r} is not a whole number or None")
    if value < 1:
        raise ValueError(f"{argument}={value!r} is not a whole number of at least 1, or None")
    return int(value)


def _text(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a string")
    return str(value)  # NumPy's strings are strings, but no plain ones


def _type_name(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument}={value!r} is not a name, one of {', '.join(FLOATS)}, or None")
    if value not in FLOATS:
        raise ValueError(f"{argument}={value!r} is not one of {', '.join(FLOATS)}, or None")
    return str(value)


#: The check of each argument, which returns it as a plain value, in the order of the checks.
_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "learning_rate": lambda argument, value: check_learning_rate(value),
    **dict.fromkeys(("rho", "momentum", "ema_momentum"), partial(_number, high=1.0)),
    **dict.fromkeys(("epsilon", "initial_velocity"), _number),
    "weight_decay": _or_none(_number),
    **dict.fromkeys(_CLIPS, _or_none(partial(_number, zero=False))),
    **dict.fromkeys(("centered", "use_ema", "jit_compile"), _flag),
    "ema_overwrite_frequency": _or_none(_frequency),
    "name": _text,
    "slot_dtype": _or_none(_type_name),
}
