"""The methods by which Keras makes, reads and restores the state of `rmsprop.keras.RMSprop`."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import keras
import numpy

from rmsprop._core import slots as _slots
from rmsprop._core.exclusion import excluded_by_name
from rmsprop._core.explain import NEEDED, Explanation
from rmsprop._core.saving.matching import plain_names
from rmsprop._core.slots import KERAS_ATTRIBUTES
from rmsprop._core.warnings import warn
from rmsprop._keras import labels, slots
from rmsprop._keras.backends import backend
from rmsprop._keras.rates import Schedule, number_of
from rmsprop._keras.steps import Accumulation, Batch, Explainable, Settings, Steps
from rmsprop._keras.variables import as_list, check_variables, is_overwritten, name_of
from rmsprop._kerases.attributes import COLLECTED
from rmsprop._kerases.built import Built
from rmsprop._kerases.library import Library, lacking
from rmsprop._kerases.restoring import elements, is_by_slot
from rmsprop._kerases.saved import KerasRMSprop

_LIBRARY: Final = Library(
    module=keras,
    places="_trainable_variables_indices",
    stands_for="for Keras 3: a model of tf_keras takes rmsprop.tf_keras.RMSprop",
    advice=", or make a new optimizer",
    between="between steps",
    ours=lacking(keras),
    fixed=("native",),
    number_of=number_of,
    is_symbolic=backend().is_symbolic,
    cast=keras.ops.cast,
    value_of=keras.ops.convert_to_numpy,
    dtype_of=lambda variable: _slots.numpy_dtype(keras.backend.standardize_dtype(variable.dtype)),
    name_of=name_of,
    saved_name=lambda variable: str(variable.path),
    as_list=as_list,
    check_variables=check_variables,
)


class KerasState(KerasRMSprop, keras.optimizers.Optimizer):
    """An optimizer of Keras 3; a subclass steps."""

    _library: ClassVar[Library] = _LIBRARY
    _loss_scale_factor: float | None
    _gradient_accumulation_steps: int | None
    built: bool
    _excluded_names: tuple[str, ...] = ()
    #: What was made of the settings; None: nothing yet.
    _steps: Steps | None = None

    @abstractmethod
    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Do one step."""

    def _forget(self) -> None:
        self._steps = None

    def _settings(self) -> Settings:
        strategy, each = getattr(self, "_distribution_strategy", None), Accumulation(self._gradient_accumulation_steps)
        rate, counter = self._learning_rate, self._iterations
        scale, state = self._loss_scale_factor, self._state
        return Settings(self._options, self._native, scale, each, rate, counter, self.name, strategy, state)

    def _get_current_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, keras.Variable):
            return rate
        if isinstance(rate, Schedule):
            return backend().checked_rate(rate(self._iterations), self._iterations)
        return backend().rate_at(rate, self._iterations)

    def _set_schedule(self, rate: Any) -> None:
        before = self._learning_rate
        self._forget()
        self._options = replace(self._options, learning_rate=rate)
        self._learning_rate = rate
        if isinstance(before, keras.Variable):
            self._untrack_variable(before)

    def _exclude(self, variables: list[Any], names: list[str]) -> None:
        if self.built:
            raise ValueError("exclude_from_weight_decay comes before build() and before the first step")
        keras.optimizers.Optimizer.exclude_from_weight_decay(self, variables, names)
        self._excluded_names = tuple(names)

    def _own_config(self) -> dict[str, Any]:
        names = ("loss_scale_factor", "gradient_accumulation_steps", "name")
        return {name: getattr(self, name) for name in names}

    def build(self, var_list: Sequence[Any]) -> None:
        """Make the state for all variables; the first step does it for those it gets. A second call does nothing.

        Args:
            var_list: variables of float16, bfloat16, float32 or float64.

        Raises:
            TypeError: something is no variable, or of another type, or `var_list` is one variable.
            ValueError: a variable is given twice.
        """
        if self.built:
            return
        variables = as_list("var_list", var_list)
        if not variables:
            return  # Keras's reader of its older files has none, and a model may get its own later
        check_variables(variables)
        # What an interrupted build has left.
        numbers = (self._iterations, self._learning_rate)
        for variable in self._variables[:]:
            if all(variable is not one for one in numbers):
                self._untrack_variable(variable)
        self._trainable_variables_indices.clear()
        try:
            super().build(variables)
            needed = _slots.slots(self._options)
            for name, attribute in KERAS_ATTRIBUTES.items():
                if name != "average":
                    is_on = any(slot.name == name for slot in needed)
                    setattr(self, attribute, self.add_optimizer_variables(variables, name) if is_on else [])
            made = {slot.name: getattr(self, KERAS_ATTRIBUTES[slot.name]) for slot in needed}
            collected = getattr(self, COLLECTED) if self.gradient_accumulation_steps else ()
            decays = self._find_decays(variables, warns=True)
            self._state = Built(needed, variables, made, decays, slots.set_to_start, collected)
            self._forget()
        except BaseException:
            # Keras says so when averages are there; an interrupt may come before the others are.
            self.built = False
            raise

    def _find_decays(self, variables: Sequence[Any], *, warns: bool) -> list[bool]:
        """Whether weight decay, if it is on, applies to each variable; Keras's own search is in `name` alone."""
        names = [(name_of(variable), str(variable.name)) for variable in variables]
        excluded = excluded_by_name(self._excluded_names, names, warns=warns)
        return [not one and self._use_weight_decay(variable) for one, variable in zip(excluded, variables, strict=True)]

    @property
    def variables(self) -> list[Any]:
        """The counter, the learning rate if it is a number, and the state.

        Raises:
            ValueError: on JAX, a model reads them whose variables the optimizer was not built for.
        """
        if self.built:
            backend().check_reader(self._numbers)
        return list(super().variables)

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Any:
        """Make a variable of the state; Keras's `build` calls this, too.

        Args:
            reference_variable: the variable that it is for.
            name: that of the slot.
            initializer: how it starts, if it is no slot of ours.
        """
        return slots.make(self._options, name, reference_variable, initializer, super().add_variable_from_reference)

    def _write_averages(self, variables: Sequence[Any], numbers: Sequence[int]) -> None:
        strategy = getattr(self, "_distribution_strategy", None)
        for number, variable in zip(numbers, variables, strict=True):
            average = self._model_variables_moving_average[number]
            if average is not None:
                backend().copy_into(variable, average, strategy)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Do one step on values instead of variables; JAX's `fit` calls this, and TensorFlow does not have it.

        Args:
            optimizer_variables: values of `variables`.
            grads: gradients, as for `apply`.
            trainable_variables: values of the variables that the optimizer was built for; of none, nothing happens.

        Returns:
            New values of the trainable variables, and of the optimizer's.

        Raises:
            TypeError: as for `apply`.
            ValueError: as for `apply`; or the optimizer is not built, or the number of values differs.
        """
        if not self.built and not len(trainable_variables):
            # A model that has nothing to train is fitted like any other.
            return [], [keras.ops.convert_to_tensor(one) for one in optimizer_variables]
        found: tuple[list[Any], list[Any]] = super().stateless_apply(optimizer_variables, grads, trainable_variables)
        return found

    def _explain(self, var_list: Sequence[Any] | None) -> Explanation:
        given = as_list("var_list", self._trainable_variables if var_list is None else var_list)
        if not given:
            raise ValueError(NEEDED)
        settings = self._settings()
        if self.built:
            batch = Batch(settings, given, self._numbers(given), [False] * len(given))
            variables, decays, state = batch.variables, batch.decays, batch.slots
        else:
            check_variables(given)
            variables = [variable for variable in given if not is_overwritten(variable)]
            decays = [self._options.decays and one for one in self._find_decays(variables, warns=False)]
            state = [None] * len(variables)
        names = plain_names([name_of(one) for one in variables])
        known = Explainable(names, variables, decays, state)
        return backend().explain(f"keras on {keras.backend.backend()}", settings, known)

    def _check_readable(self, method: str, state: Built, variables: bool) -> None:
        made = [one for mine in state.slots.values() for one in mine if one is not None]
        for one in (*(state.variables() if variables else ()), *made):
            if not getattr(one.value, "is_fully_addressable", True):
                raise ValueError(
                    f"{method} cannot see all of {one.path!r}, whose parts are on devices of other processes: save the "
                    "model by keras.saving"
                )

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the optimizer's variables.

        Args:
            weights: an array for each, in the order of `variables`.

        Raises:
            ValueError: the optimizer is not built, or the number of arrays or a shape differs.
        """
        if self.built and len(weights) != len(self.variables):
            raise ValueError(f"weights holds {len(weights)} arrays, the optimizer has {len(self.variables)} variables")
        super().set_weights(weights)

    def _labels(self) -> list[tuple[str, Any]]:
        return labels.of(self._iterations, self._learning_rate, self._state, self.variables)

    def save_own_variables(self, store: Any) -> None:
        """Write the state to a Keras file; Keras calls this."""
        label = self._labels()
        for number, (_, variable) in enumerate(label):
            store[str(number)] = variable.numpy()
            labels.write(store, label)  # now, because the next may go to another file

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the state from a Keras file; Keras calls this.

        A learning rate in the file is left there if a schedule rules now, and the present one stays if the file has
        none. A file from before the first step takes the state back to its start, for the variables' present values.

        Raises:
            ValueError: the file holds other state than these options need, or of other shapes.
        """
        state = self._state
        if state is None or not len(store.keys()):
            super().load_own_variables(store)  # which says that it reads nothing, if a file has no optimizer
            return
        label, noted = self._labels(), labels.read(store)
        numbers = labels.numbers_alone(store) if len(store.keys()) < len(label) else None
        if numbers is not None:
            # Saved before the first step. Keras may have built this one before it read the model's variables, or
            # steps have been traced with this state: it stays, and starts again.
            state.start()
            label, noted = [one for one in label if one[0] in labels.NUMBERS], numbers
        for variable, key in labels.match(label, noted, store.keys()):
            value = numpy.asarray(store[key])
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"the file holds shape {value.shape} for {variable.path!r}, not {variable.shape}")
            if any(variable is one for one in state.slots["velocity"]) and (value < 0).any():
                raise ValueError(f"the file holds negative numbers for {variable.path!r}: {labels.ADVICE}")
            variable.assign(value)
        if numbers is not None:
            state.follow(self._count)

    def _count(self) -> int | None:
        return backend().count_of(self._iterations)

    def _find_list(self, position: Any) -> None:
        if is_by_slot(position):
            return
        # After the iterations there is the learning rate, unless a schedule rules.
        if len(elements(position)) > 1:
            warn("the checkpoint holds the state of an optimizer of another kind: the state of this one starts anew")
        self._go_back(position)
