"""The arguments of all front ends: defaults, checks at construction, error texts, and their form in a config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Real
from typing import Any, Final, Self

from rmsprop._core.checks import check_flag, check_frequency, check_number, check_text, check_type_name, or_none
from rmsprop._core.other_words import OTHER_WORDS, refuse_unknown
from rmsprop._core.rates import LearningRate, check_learning_rate, is_schedule, refuse_number
from rmsprop._core.scales import overwrites

#: An entry that only configs of tf_keras have, without an effect on the update.
_LEGACY: Final = "is_legacy_optimizer"

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
        """Whether the increment is averaged, in a slot of its own."""
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
        return overwrites(iterations, frequency)

    def constants(self, decays: bool) -> dict[str, Any]:
        """Return the scalars of the rule that are on and stay the same from step to step; complements in double.

        `decays` is whether weight decay applies to the variable, if it is on.
        """
        found = {"rho": self.rho, "rho_c": 1 - self.rho, "epsilon": self.epsilon}
        if self.clipvalue is not None:
            found["clip_value"] = self.clipvalue
        if decays and self.decays:
            assert self.weight_decay is not None
            found["weight_decay"] = self.weight_decay
        if self.has_momentum:
            found["mu"] = self.momentum
        if self.use_ema:
            found |= {"ema_momentum": self.ema_momentum, "ema_momentum_c": 1 - self.ema_momentum}
        return found

    def changing(self) -> list[str]:
        """Return the names of the scalars of the rule that are on and differ from step to step."""
        found = ["learning_rate"]
        if self.clips_by_norm:
            found.append("clip_scale")
        if self.use_ema and self.ema_overwrite_frequency is not None:
            found.append("overwrite")
        return found

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


def with_rate(options: Options, value: Any) -> Options:
    """Return the options with another learning rate, checked: no number while a schedule rules."""
    value, ruling = check_learning_rate(value), options.learning_rate
    if callable(ruling) and not callable(value):
        refuse_number(value, ruling)
    return replace(options, learning_rate=value)


#: The check of each argument, which returns it as a plain value, in the order of the checks.
_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "learning_rate": lambda argument, value: check_learning_rate(value),
    **dict.fromkeys(("rho", "momentum", "ema_momentum"), partial(check_number, high=1.0)),
    **dict.fromkeys(("epsilon", "initial_velocity"), check_number),
    "weight_decay": or_none(check_number),
    **dict.fromkeys(_CLIPS, or_none(partial(check_number, zero=False))),
    **dict.fromkeys(("centered", "use_ema", "jit_compile"), check_flag),
    "ema_overwrite_frequency": or_none(check_frequency),
    "name": check_text,
    "slot_dtype": or_none(check_type_name),
}
