"""The optimizer's arguments, as tf_keras's users read, change and save them."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final, Self

import tensorflow as tf
import tf_keras

from rmsprop._core import slots
from rmsprop._core.options import LearningRate, Options, check_learning_rate, refuse_attribute
from rmsprop._kerases.attributes import exclusions, option
from rmsprop._kerases.configs import from_config, plain_number, to_config
from rmsprop._tensorflow.engine import Engine
from rmsprop._tf_keras.rates import Constant, Schedule, as_schedule, given, is_called, number_of, ruled

#: Arguments that the original does not have; its configs are ours as long as these have their defaults.
_OURS: Final = ("initial_velocity", "slot_dtype", "native")


class Arguments(tf_keras.optimizers.Optimizer):
    """What `rmsprop.tf_keras.RMSprop` knows of its arguments.

    A subclass sets `_options`, `_native` and `_engine` before it calls the constructor of tf_keras.
    """

    _options: Options
    _native: bool | None
    _engine: Engine | None
    _learning_rate: Any
    _variables: Any

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
        if not hasattr(type(self), name):
            if name in ("native", "mesh"):
                raise AttributeError(f"{name}={value!r} cannot be assigned: give {name} to the constructor")
            if name != "jit_compile":
                refuse_attribute("rmsprop.tf_keras.RMSprop", name, value)
        super().__setattr__(name, value)
        if name in getattr(self, "_self_unconditional_dependency_names", ()):
            # tf_keras remembers what the optimizer refers to as it was found first, without state perhaps.
            self.__dict__.pop("_coalesced_children", None)

    @property
    def iterations(self) -> Any:
        """The number of steps done, a variable; one of your own, of another type of integers too, may take its place.

        Raises:
            RuntimeError: it was assigned after the state was built.
            TypeError: something was assigned that is no variable.
        """
        return self._iterations

    @iterations.setter
    def iterations(self, variable: Any) -> None:
        if not hasattr(variable, "assign_add"):
            raise TypeError(f"iterations={variable!r} is no variable: iterations.assign({variable!r}) sets the number")
        tf_keras.optimizers.Optimizer.iterations.fset(self, variable)
        # What is saved is what counts.
        self._variables = [variable, *self._variables[1:]]

    def _set_option(self, name: str, value: Any) -> None:
        options = replace(self._options, **{name: value})
        if getattr(self, "_built", False) and slots.slots(options) != slots.slots(self._options):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        # Forgotten first: an engine knows the options that it was made with.
        self._engine = None
        self._options = options

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step: a variable, or a tensor if a schedule or function rules.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        rate = self._learning_rate
        return ruled(rate(self.iterations), given(rate)) if isinstance(rate, Schedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        if tf.is_symbolic_tensor(value) and not isinstance(self._learning_rate, Schedule):
            self._learning_rate.assign(tf.cast(value, self._learning_rate.dtype))
            return
        checked = check_learning_rate(number_of(value))
        if callable(checked):
            self._learning_rate = self._build_learning_rate(checked)
        elif isinstance(self._learning_rate, Schedule):
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {given(self._learning_rate)!r} rules: "
                "assign another schedule, or construct the optimizer with a number"
            )
        else:
            self._learning_rate.assign(checked)

    def _build_learning_rate(self, learning_rate: LearningRate) -> Any:
        schedule = as_schedule(learning_rate)
        # The base class asks for a value, to make a variable for those to come. A function is for the steps alone.
        super_value = Constant() if is_called(schedule) else schedule
        made = super()._build_learning_rate(super_value)
        return schedule if isinstance(schedule, Schedule) else made

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay; a second call replaces the first.

        Args:
            var_list: variables.
            var_names: regular expressions, searched in the variables' names, which end in ":0".

        Raises:
            TypeError: `var_list` is one variable, or `var_names` one string.
            ValueError: the state is built already, or a name is not a regular expression.
        """
        variables, names = exclusions(var_list, var_names, lambda one: hasattr(one, "assign"))
        super().exclude_from_weight_decay(variables, names)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as values that JSON can hold; the original's `from_config` takes them too.

        Raises:
            ValueError: `learning_rate` is a plain function.
        """
        rate = given(self._learning_rate)
        config = replace(self._options, learning_rate=0.0).get_config()
        config["learning_rate"] = (
            to_config(rate, tf_keras) if callable(rate) else plain_number(self._options.learning_rate, rate.numpy())
        )
        config["native"] = self._native
        default = {**Options().get_config(), "native": None}
        for name in _OURS:
            if config[name] == default[name]:
                del config[name]
        # The original's configs have this entry, and by it `from_config` knows that a False of theirs means nothing.
        return config | ({"is_legacy_optimizer": False} if config["jit_compile"] else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from what `get_config` gave, or from a config that the original wrote.

        Args:
            config: the arguments by name. A clip of 0 or less is read as None, and the original's `jit_compile` is not
                believed: it is False wherever there was no GPU, whatever had been asked for.
            custom_objects: your own classes of schedules, by name.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        arguments = dict(config)
        native, mesh = arguments.pop("native", None), arguments.pop("mesh", None)
        if isinstance(rate := arguments.get("learning_rate"), Mapping):
            arguments["learning_rate"] = from_config(rate, custom_objects, tf_keras)
        options = Options.from_config(arguments, custom_objects, ("native", "mesh"))
        return cls(**{field.name: getattr(options, field.name) for field in fields(options)}, native=native, mesh=mesh)
