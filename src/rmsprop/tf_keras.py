"""RMSprop for TensorFlow's Keras 2, `tf_keras`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Self, final

import numpy
import tensorflow as tf
import tf_keras

from rmsprop import _slots
from rmsprop._options import LearningRate, Options, check_learning_rate, refuse_unknown
from rmsprop._tf_keras.pairs import check_variables, with_gradient
from rmsprop._tf_keras.rates import Schedule, as_schedule, from_config, number_of, plain_number, to_config
from rmsprop._tf_keras.state import HOMES, add_slot
from rmsprop._variables import check_pairs
from rmsprop.engines.tensorflow import _traced
from rmsprop.engines.tensorflow._items import Item
from rmsprop.engines.tensorflow.engine import Engine, native_by_default

#: Arguments that the original does not have; its configs are ours as long as these have their defaults.
_OURS: Final = ("initial_velocity", "slot_dtype", "native")


def _option(name: str) -> Any:
    """Make the attribute by which tf_keras's users read an argument, and may change it."""

    def read(self: "RMSprop") -> Any:
        return getattr(self._options, name)

    def write(self: "RMSprop", value: Any) -> None:
        self._set_option(name, value)

    return property(read, write, doc=f"The argument `{name}`; a function that is traced already keeps the old value.")


@final
@tf_keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(tf_keras.optimizers.Optimizer):
    """DOC"""

    rho = _option("rho")
    momentum = _option("momentum")
    epsilon = _option("epsilon")
    centered = _option("centered")
    weight_decay = _option("weight_decay")
    clipnorm = _option("clipnorm")
    clipvalue = _option("clipvalue")
    global_clipnorm = _option("global_clipnorm")
    use_ema = _option("use_ema")
    ema_momentum = _option("ema_momentum")
    ema_overwrite_frequency = _option("ema_overwrite_frequency")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = 100,
        jit_compile: bool = True,
        name: str = "RMSprop",
        *,
        mesh: Any = None,
        initial_velocity: float = 0.0,
        slot_dtype: str | None = None,
        native: bool | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(kwargs)
        if native is not None and not isinstance(native, bool):
            raise TypeError(f"native={native!r} is not True, False or None")
        self._options = Options(
            number_of(learning_rate), rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue,
            global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity,
            slot_dtype,
        )  # fmt: skip
        self._native = native
        self._engine: Engine | None = None
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, mesh=mesh,
        )  # fmt: skip
        self._learning_rate = self._build_learning_rate(as_schedule(self._options.learning_rate))

    # Arguments --------------------------------------------------------------------------------------------------------

    def _set_option(self, name: str, value: Any) -> None:
        options = replace(self._options, **{name: value})
        if getattr(self, "_built", False) and _slots.slots(options) != _slots.slots(self._options):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        self._options, self._engine = options, None

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step: a variable, or a tensor if a schedule or function rules.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        rate = self._learning_rate
        return rate(self.iterations) if isinstance(rate, Schedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        if tf.is_symbolic_tensor(value) and not isinstance(self._learning_rate, Schedule):
            self._learning_rate.assign(tf.cast(value, self._learning_rate.dtype))
            return
        checked = check_learning_rate(number_of(value))
        if callable(checked):
            self._options = replace(self._options, learning_rate=checked)
            self._learning_rate = self._build_learning_rate(as_schedule(checked))
        elif isinstance(self._learning_rate, Schedule):
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {self._options.learning_rate!r} rules: "
                "assign another schedule, or construct the optimizer with a number"
            )
        else:
            self._learning_rate.assign(checked)

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
        if isinstance(var_list, tf.Variable):
            raise TypeError(f"var_list={var_list.name!r} is one variable: pass a list")
        if isinstance(var_names, str):
            raise TypeError(f"var_names={var_names!r} is one string: pass a list, [{var_names!r}]")
        names = list(var_names or ())
        try:
            for name in names:
                re.compile(name)
        except re.error as error:
            raise ValueError(f"var_names={names!r} holds no regular expression: {error}") from error
        super().exclude_from_weight_decay(list(var_list or ()), names)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as values that JSON can hold; the original's `from_config` takes them too.

        Raises:
            ValueError: `learning_rate` is a plain function.
        """
        rate = self._options.learning_rate
        config = replace(self._options, learning_rate=0.0).get_config()
        config["learning_rate"] = to_config(rate) if callable(rate) else plain_number(rate, self._learning_rate)
        config["native"] = self._native
        default = {**Options().get_config(), "native": None}
        for name in _OURS:
            if config[name] == default[name]:
                del config[name]
        return {**config, "is_legacy_optimizer": False}

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
            arguments["learning_rate"] = from_config(rate, custom_objects)
        options = Options.from_config(arguments, custom_objects)
        return cls(**{field.name: getattr(options, field.name) for field in fields(options)}, native=native, mesh=mesh)

    # State ------------------------------------------------------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def build(self, var_list: Sequence[Any]) -> None:
        """Make the state for all variables; the first step does it for those it gets. A second call does nothing.

        Args:
            var_list: variables of float16, bfloat16, float32 or float64.

        Raises:
            TypeError: something is no variable, or of another type.
            ValueError: a variable is given twice.
        """
        if getattr(self, "_built", False):
            return
        check_variables(var_list)
        self._build_index_dict(var_list)
        if len(self._index_dict) < len(var_list):
            raise ValueError(f"a variable is given twice among {', '.join(variable.name for variable in var_list)}")
        # What the original has, checkpoints have: an empty list where a slot is off, but no averages then.
        for name in ("velocity", "momentum", "average_gradient"):
            setattr(self, HOMES[name], [])
        for slot in _slots.slots(self._options):
            setattr(self, HOMES[slot.name], [add_slot(self, self._options, slot, variable) for variable in var_list])
        self._built = True

    @tf.autograph.experimental.do_not_convert
    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Write the averages into variables, if `use_ema`; `fit` does it at its end.

        Args:
            var_list: variables that the optimizer was built for.

        Raises:
            ValueError: the optimizer is not built, or a variable is unknown to it.
        """
        if self.use_ema:
            if not getattr(self, "_built", False):
                raise ValueError("finalize_variable_values needs the averages: call build(var_list) first")
            self._refuse_unknown(var_list)
        super().finalize_variable_values(var_list)

    # Steps ------------------------------------------------------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Do one step, or add it to the graph that is being traced.

        Args:
            grads_and_vars: pairs of a gradient and its variable. A gradient is a tensor of the variable's shape,
                `tf.IndexedSlices`, or None, which leaves the variable and its state as they are. No pair: nothing
                happens.
            name: of the scope; None: that of the optimizer.
            skip_gradients_aggregation: whether the gradients of a strategy's replicas are summed already.
            **kwargs: ``experimental_aggregate_gradients``, the older word for the opposite.

        Returns:
            The number of steps done, this one included.

        Raises:
            TypeError: a gradient is not of a float type, or there is something that is no pair.
            ValueError: a shape differs, a variable is unknown or given twice, or all gradients are None. Nothing has
                changed then.
        """
        aggregate = kwargs.pop("experimental_aggregate_gradients", True) and not skip_gradients_aggregation
        if kwargs:
            raise TypeError(f"apply_gradients has no argument {next(iter(kwargs))}")
        pairs = list(grads_and_vars)
        check_pairs(pairs)
        if not pairs:
            return self._iterations
        if self._is_distributed() and aggregate:
            pairs = self.aggregate_gradients(pairs)
        with tf.name_scope(name or self.name or "optimizer"):
            with tf.init_scope():
                self.build([variable for _, variable in pairs])
            self._refuse_unknown([variable for _, variable in pairs])
            pairs = with_gradient(pairs)
            iterations = self._step(pairs)
            for _, variable in pairs:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
        return iterations

    def _refuse_unknown(self, variables: Sequence[Any]) -> None:
        keys = [self._var_key(variable) for variable in variables]
        for key, variable in zip(keys, variables, strict=True):
            if key not in self._index_dict:
                raise ValueError(
                    f"variable {variable.name!r} is not among those the optimizer was built for: "
                    "pass all variables to build() first"
                )
        if len(set(keys)) < len(keys):
            raise ValueError(f"a variable is given twice among {', '.join(one.name for one in variables)}")

    def _is_distributed(self) -> bool:
        return tf.distribute.has_strategy() and self._mesh is None and not self._run_with_dtensor

    def _step(self, pairs: Sequence[tuple[Any, Any]]) -> Any:
        options = self._step_options()
        if self._is_distributed():
            gradients, variables = ([*column] for column in zip(*pairs, strict=True))
            return tf.__internal__.distribute.interim.maybe_merge_call(
                self._distributed_step,
                self._distribution_strategy,
                gradients,
                variables,
                _traced.clip_scales(options, gradients),
            )
        rate, iterations = self._current_rate(), tf.convert_to_tensor(self.iterations)
        items = [self._item(gradient, variable) for gradient, variable in pairs]
        if self._mesh is not None or self._run_with_dtensor:
            _traced.step(options, items, rate, iterations)
        else:
            if self._engine is None:
                native = native_by_default() if self._native is None else self._native
                self._engine = Engine(options, native=native, compiled=self.jit_compile)
            self._engine.step(items, rate, iterations)
        return self.iterations.assign_add(1)

    @tf.autograph.experimental.do_not_convert
    def _distributed_step(
        self, distribution: Any, gradients: Sequence[Any], variables: Sequence[Any], scales: Sequence[Any]
    ) -> Any:
        """Step each replica's copy of the variables, where it is."""
        options, rate = self._step_options(), self._current_rate()
        overwrite = _traced.overwrites(options, tf.convert_to_tensor(self.iterations))
        for gradient, variable, scale in zip(gradients, variables, scales, strict=True):
            item = self._item(gradient, variable)

            @tf.autograph.experimental.do_not_convert
            def advance(
                variable: Any, gradient: Any, slots: dict[str, Any], scale: Any, decays: bool = item.decays
            ) -> None:
                _traced.advance(options, Item(variable, gradient, slots, decays), scale, rate, overwrite)

            distribution.extended.update(variable, advance, args=(item.gradient, item.slots, scale), group=False)
        return self.iterations.assign_add(1)

    def _step_options(self) -> Options:
        decay = self._options.weight_decay
        # As the original has it: through float32, whatever the variable.
        return self._options if decay is None else replace(self._options, weight_decay=float(numpy.float32(decay)))

    def _current_rate(self) -> Any:
        if isinstance(self._learning_rate, Schedule):
            self._compute_current_learning_rate()
            return tf.convert_to_tensor(self._current_learning_rate)
        return tf.convert_to_tensor(self._learning_rate)

    def _item(self, gradient: Any, variable: Any) -> Item:
        index = self._index_dict[self._var_key(variable)]
        slots = {slot.name: getattr(self, HOMES[slot.name])[index] for slot in _slots.slots(self._options)}
        decays = self._options.decays and self._use_weight_decay(variable)
        return Item(variable, gradient, slots, decays)

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Not a step: the base class asks for this method, but a step here takes all variables at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call apply_gradients([(gradient, variable)])")
