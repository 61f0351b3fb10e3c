"""The arguments of `rmsprop.keras.RMSprop` and `rmsprop.tf_keras.RMSprop`, as users read, change and save them."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, Final, Self

from rmsprop._core import slots
from rmsprop._core.options import Options, refuse_attribute
from rmsprop._core.rates import LearningRate, check_learning_rate, refuse_number
from rmsprop._kerases.attributes import exclusions, option
from rmsprop._kerases.built import Built
from rmsprop._kerases.configs import from_config, plain_number, to_config
from rmsprop._kerases.library import Library

_DEFAULT: Final = Options()


class Arguments(ABC):
    """The arguments of an optimizer of Keras 2 or 3, of which a subclass is one too.

    A subclass sets `_options` and `_native` before it calls the constructor of Keras.
    """

    _library: ClassVar[Library]
    _options: Options
    _native: bool | None
    _learning_rate: Any
    _state: Built | None = None
    name: str

    # What a subclass has besides.
    _get_current_learning_rate: Any
    _set_schedule: Any  # let a schedule or function rule from now on
    _exclude: Any  # leave variables out of weight decay, by themselves or by names
    _own_config: Any  # the entries of the config that no options are
    _count: Any  # the number of calls so far, None where it has no value

    def _options_of(self, arguments: Mapping[str, Any]) -> Options:
        """Return the options among a constructor's arguments."""
        options = {name: arguments[name] for name in Options.__dataclass_fields__}
        return Options(**options | {"learning_rate": self._library.number_of(arguments["learning_rate"])})

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras's attributes and those of subclasses stay what they are; an option that nobody reads is refused.
        if not hasattr(type(self), name):
            if name in self._library.fixed:
                raise AttributeError(f"{name}={value!r} cannot be assigned: give {name} to the constructor")
            if name != "jit_compile" or "jit_compile" in self._library.ours:
                refuse_attribute(f"rmsprop.{self._library.module.__name__}.RMSprop", name, value)
        super().__setattr__(name, value)

    def _set_option(self, name: str, value: Any) -> None:
        options = replace(self._options, **{name: value})
        if self._state is not None and slots.slots(options) != slots.slots(self._options):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        self._forget()  # before the write: an interrupt in between leaves nothing that was made of the old value
        self._options = options

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was made of the arguments."""

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step: a variable, or a tensor or number if a schedule or function rules.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        """Assign a number >= 0, a schedule or a function; where a schedule rules, no number."""
        now = self._options.learning_rate
        symbolic = self._library.is_symbolic(value) and not callable(now)
        checked = value if symbolic else check_learning_rate(self._library.number_of(value))
        if not symbolic and callable(checked):
            self._set_schedule(checked)
        elif callable(now):
            refuse_number(value, now)
        else:
            self._learning_rate.assign(self._library.cast(checked, self._learning_rate.dtype) if symbolic else checked)

    def _rate(self) -> LearningRate:
        """Return the schedule or function that rules, or the present number as the user wrote it."""
        rate = self._options.learning_rate
        return rate if callable(rate) else plain_number(rate, self._library.value_of(self._learning_rate)[()])

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay; a second call replaces the first.

        Args:
            var_list: variables.
            var_names: regular expressions, searched in the variables' names, which end in ":0" in tf_keras, and in
                Keras 3 in their paths too: "bias", "norm/", "^dense_1/". One that is found in none is warned of when
                the state is built.

        Raises:
            TypeError: `var_list` is one variable, or `var_names` one string.
            ValueError: the state is built already, or a name is not a regular expression.
        """
        variables, names = exclusions(var_list, var_names, lambda one: hasattr(one, "assign"))
        self._exclude(variables, names)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as values that JSON can hold; the `from_config` of Keras's own accepts them too.

        Raises:
            ValueError: `learning_rate` is a plain function.
        """
        rate = self._rate()
        config = replace(self._options, learning_rate=0.0).get_config()
        config["learning_rate"] = to_config(rate, self._library.module) if callable(rate) else rate
        config |= {"native": self._native, **self._own_config()}
        default = {**_DEFAULT.get_config(), "native": None}
        for name in self._library.ours:
            if config[name] == default[name]:
                del config[name]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from what `get_config` returned, or from a config that an RMSprop of Keras's wrote.

        Args:
            config: the arguments by name; those of a subclass's constructor may be among them. A clip of 0 or less is
                read as None. `jit_compile` is ignored in a config of tf_keras's own optimizer: it is False wherever
                there was no GPU, whatever the user had chosen.
            custom_objects: your own classes of schedules, by name.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        arguments = dict(config)
        others = {name: arguments.pop(name) for name in cls._other_arguments() if name in arguments}
        if isinstance(rate := arguments.get("learning_rate"), Mapping):
            arguments["learning_rate"] = from_config(rate, custom_objects, cls._library.module)
        options = Options.from_config(arguments, custom_objects, cls._other_arguments())
        make: Any = cls
        made: Self = make(**{field.name: getattr(options, field.name) for field in fields(options)}, **others)
        return made

    @classmethod
    def _other_arguments(cls) -> list[str]:
        """List the arguments of the constructors, those of subclasses too, that are no options."""
        own = [kind for kind in cls.__mro__ if issubclass(kind, Arguments) and "__init__" in vars(kind)]
        found = [one for kind in own for one in inspect.signature(vars(kind)["__init__"]).parameters.values()]
        named = [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        return [name for name in dict.fromkeys(named) if name != "self" and name not in Options.__dataclass_fields__]

    def __repr__(self) -> str:
        # A model of the other Keras, which does not take this optimizer, shows this and nothing else.
        given = {field.name: getattr(self._options, field.name) for field in fields(Options) if field.name != "name"}
        if not callable(given["learning_rate"]) and self._count() is not None:  # None: numbers cannot be read now
            given["learning_rate"] = self._rate()
        others = self._other_arguments()
        given |= {"native": self._native} | {name: one for name, one in self._own_config().items() if name in others}
        changed = [f"; {name}={value!r}" for name, value in given.items() if value != getattr(_DEFAULT, name, None)]
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{kind} {self.name!r}, {self._library.stands_for}{''.join(changed)}>"


# As attributes, most arguments can be read and changed, in Keras 2 and 3 alike.
for _name in Options.__dataclass_fields__:
    if _name not in ("learning_rate", "jit_compile", "name", "initial_velocity", "slot_dtype"):
        setattr(Arguments, _name, option(_name))
