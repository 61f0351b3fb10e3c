"""The optimizer's arguments, as Keras's users read, change and save them."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from numbers import Integral
from typing import Any, Final, Self

import keras

from rmsprop._core import slots
from rmsprop._core.options import LearningRate, Options, _number, check_learning_rate, refuse_attribute
from rmsprop._keras.backends import backend
from rmsprop._keras.rates import Schedule, number_of
from rmsprop._kerases.attributes import exclusions, option
from rmsprop._kerases.configs import from_config, plain_number, to_config

#: Arguments that Keras's own optimizer does not have; its configs are ours as long as these have their defaults.
_OURS: Final = ("jit_compile", "initial_velocity", "slot_dtype", "native")

#: Arguments of every optimizer of Keras's that the update knows nothing of.
KERAS_ONLY: Final = ("loss_scale_factor", "gradient_accumulation_steps", "native")


class Arguments(keras.optimizers.Optimizer):
    """What `rmsprop.keras.RMSprop` knows of its arguments.

    A subclass sets `_options` and `_native` before it calls the constructor of Keras.
    """

    _options: Options
    _native: bool | None
    _learning_rate: Any
    _loss_scale_factor: float | None
    _gradient_accumulation_steps: int | None
    built: bool
    _excluded_names: tuple[str, ...] = ()

    rho = option("rho")
    momentum = option("momentum")
    epsilon = option("epsilon")
    centered = option("centered")
    weight_decay = option("weight_decay")
    clipnorm = option("clipnorm")
    clipvalue = option("clipvalue")
    global_clipnorm = option("global_clipnorm")
    use_ema = option("use_ema")
    ema_momentum = option("ema_momentum")
    ema_overwrite_frequency = option("ema_overwrite_frequency")

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras's attributes and those of subclasses stay what they are; an option that nobody reads is refused.
        if not hasattr(type(self), name):
            if name == "native":
                raise AttributeError(f"native={value!r} cannot be assigned: give native to the constructor")
            refuse_attribute("rmsprop.keras.RMSprop", name, value)
        super().__setattr__(name, value)

    def _set_option(self, name: str, value: Any) -> None:
        options = replace(self._options, **{name: value})
        if getattr(self, "built", False) and slots.slots(options) != slots.slots(self._options):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        self._forget()  # before the write: an interrupt in between leaves nothing that was made of the old value
        self._options = options

    def _forget(self) -> None:
        """Let go of what steps were made into."""
        self._stepper = backend().Stepper()

    @property
    def loss_scale_factor(self) -> float | None:
        """What `scale_loss` multiplies a loss by, and gradients are divided by; None: 1."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        checked = None if value is None else _number("loss_scale_factor", value, zero=False)
        self._forget()
        self._loss_scale_factor = checked

    @property
    def gradient_accumulation_steps(self) -> int | None:
        """How many calls make one step, of the mean of their gradients; None: each is one."""
        return self._gradient_accumulation_steps

    @gradient_accumulation_steps.setter
    def gradient_accumulation_steps(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"gradient_accumulation_steps={value!r} is not a whole number or None")
        if value is not None and value < 2:
            raise ValueError(f"gradient_accumulation_steps={value!r} is not a whole number of at least 2, or None")
        if getattr(self, "built", False) and (value is None) != (self._gradient_accumulation_steps is None):
            raise ValueError(
                f"gradient_accumulation_steps={value!r} needs other state than the optimizer was built with: set it "
                "before"
            )
        self._forget()
        self._gradient_accumulation_steps = None if value is None else int(value)

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
        rate = self._learning_rate
        if backend().is_symbolic(value) and isinstance(rate, keras.Variable):
            rate.assign(value)
            return
        checked = check_learning_rate(number_of(value))
        if callable(checked):
            self._forget()
            self._options = replace(self._options, learning_rate=checked)
            self._learning_rate = checked
            if isinstance(rate, keras.Variable):
                self._untrack_variable(rate)
        elif isinstance(rate, keras.Variable):
            rate.assign(checked)
        else:
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {self._options.learning_rate!r} rules: "
                "assign another schedule, or construct the optimizer with a number"
            )

    def _get_current_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, keras.Variable):
            return rate
        if isinstance(rate, Schedule):
            return backend().checked_rate(rate(self._iterations), self._iterations)
        return backend().rate_at(rate, self._iterations)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay; a second call replaces the first.

        Args:
            var_list: variables.
            var_names: regular expressions, searched in the variables' names and paths: "bias", "norm/", "^dense_1/".
                One that is found in none is warned of when the state is built.

        Raises:
            TypeError: `var_list` is one variable, or `var_names` one string.
            ValueError: the state is built already, or a name is not a regular expression.
        """
        variables, names = exclusions(var_list, var_names, lambda one: hasattr(one, "assign"))
        if self.built:
            raise ValueError("exclude_from_weight_decay comes before build() and before the first step")
        super().exclude_from_weight_decay(variables, names)
        self._excluded_names = tuple(names)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as values that JSON can hold; the `from_config` of Keras's own takes them too.

        Raises:
            ValueError: `learning_rate` is a plain function.
        """
        rate = self._options.learning_rate
        config = replace(self._options, learning_rate=0.0).get_config()
        if callable(rate):
            config["learning_rate"] = to_config(rate, keras)
        else:
            now = keras.ops.convert_to_numpy(self._learning_rate.value)
            config["learning_rate"] = plain_number(rate, now[()])
        config |= {"loss_scale_factor": self.loss_scale_factor, "native": self._native}
        config["gradient_accumulation_steps"] = self.gradient_accumulation_steps
        default = {**Options().get_config(), "native": None}
        for name in _OURS:
            if config[name] == default[name]:
                del config[name]
        return config | {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from what `get_config` gave, or from a config that an RMSprop of Keras's wrote.

        Args:
            config: the arguments by name. A clip of 0 or less is read as None.
            custom_objects: your own classes of schedules, by name.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        arguments = dict(config)
        others = {name: arguments.pop(name) for name in KERAS_ONLY if name in arguments}
        if isinstance(rate := arguments.get("learning_rate"), Mapping):
            arguments["learning_rate"] = from_config(rate, custom_objects, keras)
        options = Options.from_config(arguments, custom_objects, KERAS_ONLY)
        return cls(**{field.name: getattr(options, field.name) for field in fields(options)}, **others)
