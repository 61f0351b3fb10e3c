"""The methods by which tf_keras makes, reads and restores the state of `rmsprop.tf_keras.RMSprop`."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy
import tensorflow as tf
import tf_keras

from rmsprop._core import slots as _slots
from rmsprop._core.exclusion import excluded_by_name
from rmsprop._core.rates import LearningRate
from rmsprop._core.slots import KERAS_ATTRIBUTES
from rmsprop._kerases.built import Built
from rmsprop._kerases.library import Library, lacking
from rmsprop._kerases.restoring import elements, is_by_slot, sorted_by_slot
from rmsprop._kerases.saved import KerasRMSprop
from rmsprop._tensorflow.checks import dtype_of
from rmsprop._tensorflow.engine import Engine
from rmsprop._tf_keras import slots
from rmsprop._tf_keras.pairs import check_variables
from rmsprop._tf_keras.rates import Schedule, Zero, as_schedule, is_called, number_of, refusing_assignment
from rmsprop._tf_keras.slots import Unstarted, has_value
from rmsprop._tf_keras.untraced import untraced

_LIBRARY: Final = Library(
    module=tf_keras,
    places="_index_dict",
    stands_for="for tf_keras: a model of Keras 3 takes rmsprop.keras.RMSprop",
    advice="",
    between="outside of tf.function",
    ours=lacking(tf_keras),
    fixed=("native", "mesh"),
    number_of=number_of,
    is_symbolic=tf.is_symbolic_tensor,
    cast=tf.cast,
    value_of=lambda variable: variable.numpy(),
    dtype_of=lambda variable: _slots.numpy_dtype(dtype_of(variable).name),
    name_of=lambda variable: str(variable.name),
    saved_name=lambda variable: str(variable.name).removesuffix(":0"),
    as_list=lambda argument, variables: list(variables),
    check_variables=check_variables,
)


class TfKerasState(KerasRMSprop, tf_keras.optimizers.Optimizer):
    """An optimizer of tf_keras; a subclass steps."""

    _library: ClassVar[Library] = _LIBRARY
    _engine: Engine | None = None
    _variables: Any
    #: What an unfinished build has made: keys of the variables, what `_variables` held before, and the slots.
    _made: tuple[list[Any], list[Any], dict[str, list[Any]]] | None = None
    #: Where checkpoints hold the state as a list, which waits for `build`.
    _listed: tuple[Any, ...] = ()

    @abstractmethod
    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]], name: str | None = None, **kwargs: Any) -> Any:
        """Do one step."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in getattr(self, "_self_unconditional_dependency_names", ()):
            # tf_keras remembers what the optimizer refers to as it was found first, without state perhaps.
            self.__dict__.pop("_coalesced_children", None)

    def _forget(self) -> None:
        self._engine = None

    def _has_mesh(self) -> bool:
        return self._mesh is not None or self._run_with_dtensor

    @property
    def iterations(self) -> Any:
        """The number of steps done, a variable; one of your own, of another type of integers too, may replace it.

        Raises:
            RuntimeError: it was assigned after the state was built.
            TypeError: something was assigned that is no variable.
        """
        return self._iterations

    @iterations.setter
    def iterations(self, variable: Any) -> None:
        """Assign a variable of your own, before the state is built."""
        if not hasattr(variable, "assign_add"):
            raise TypeError(f"iterations={variable!r} is no variable: iterations.assign({variable!r}) sets the number")
        tf_keras.optimizers.Optimizer.iterations.fset(self, variable)
        # What is saved is what counts.
        self._variables = [variable, *self._variables[1:]]

    # tf_keras holds the learning rate in two attributes: `_learning_rate` is a variable or a schedule; of a schedule,
    # `_current_learning_rate` is a variable with the rate of the latest step, which checkpoints hold.

    def _present_rate(self) -> Any:
        """Return the variable of the learning rate, or what a schedule returns for the steps done."""
        rate = self._learning_rate
        return rate(self.iterations) if isinstance(rate, Schedule) else rate

    def _get_current_learning_rate(self) -> Any:
        return refusing_assignment(self._present_rate(), self._options.learning_rate)

    def _rate_of_step(self) -> Any:
        """Return the learning rate of a step as a tensor; a schedule's is noted in tf_keras's variable."""
        rate = self._present_rate()
        if isinstance(self._learning_rate, Schedule):
            self._current_learning_rate.assign(rate)
            rate = self._current_learning_rate
        return tf.convert_to_tensor(rate)

    def _set_schedule(self, rate: Any) -> None:
        self._learning_rate = self._build_learning_rate(rate)
        self._options = replace(self._options, learning_rate=rate)

    def _build_learning_rate(self, learning_rate: LearningRate) -> Any:
        schedule = as_schedule(learning_rate)
        # tf_keras calls a schedule for the first value of a variable. A function is for the steps alone.
        made = super()._build_learning_rate(Zero() if is_called(schedule) else schedule)
        return schedule if isinstance(schedule, Schedule) else made

    def _exclude(self, variables: list[Any], names: list[str]) -> None:
        tf_keras.optimizers.Optimizer.exclude_from_weight_decay(self, variables, names)

    def _own_config(self) -> dict[str, Any]:
        # The original's configs have this entry, and by it `from_config` knows that a False of theirs means nothing.
        return {"is_legacy_optimizer": False} if self._options.jit_compile else {}

    @untraced
    def build(self, var_list: Sequence[Any]) -> None:
        """Make the state for all variables; the first step does it for those it gets. A second call does nothing.

        Args:
            var_list: variables of float16, bfloat16, float32 or float64.

        Raises:
            TypeError: something is no variable, or of another type.
            ValueError: a variable is given twice.

        Warns:
            UserWarning: a name that `exclude_from_weight_decay` was given is found in no variable's name.
        """
        if self._state is not None:
            return
        # TensorFlow turns it off for a while whenever it notes an attribute, and an interrupt then leaves it so.
        self._setattr_tracking = True
        check_variables(var_list)
        self._build_index_dict(var_list)
        if len(self._index_dict) < len(var_list):
            raise ValueError(f"a variable is given twice among {', '.join(variable.name for variable in var_list)}")
        patterns = getattr(self, "_exclude_from_weight_decay_names", [])
        named = excluded_by_name(patterns, [[variable.name] for variable in var_list])
        decays = [not name and self._use_weight_decay(one) for one, name in zip(var_list, named, strict=True)]
        with tf.init_scope():
            made = self._make(var_list)
            # What the original has, checkpoints have: an empty list where a slot is off, but no averages then. Each is
            # set once, when it is full, as what was restored before waits for the attribute.
            for name, attribute in KERAS_ATTRIBUTES.items():
                if name in made or name != "average":
                    setattr(self, attribute, made.get(name, []))
            for position in self._listed:
                self._restore_list(position)
            state = Built(_slots.slots(self._options), var_list, made, decays, slots.set_to_start)
            state.unstarted = None if self._has_mesh() else _find_unstarted(state)
            self._built = True  # tf_keras's sign
            self._state = state
        self._made, self._listed = None, self._no_dependency(())

    def _make(self, var_list: Sequence[Any]) -> dict[str, list[Any]]:
        """Make the slots, unless a build for the same variables did so and was interrupted before its end."""
        keys = list(self._index_dict)
        if self._made is not None:
            before, made = self._made[1:]
            if self._made[0] == keys:
                return made
            self._variables, self._made = before, None
        before = list(self._variables)
        try:
            made = {
                slot.name: [self._add_slot(slot, variable) for variable in var_list]
                for slot in _slots.slots(self._options)
            }
            self._made = self._no_dependency((keys, before, made))
        except BaseException:
            # An interrupt, too, leaves no slots that nobody knows, nor any that are known and gone.
            self._made, self._variables = None, before
            self._sharded_variable_builders.clear()
            raise
        return made

    def _add_slot(self, slot: _slots.Slot, variable: Any) -> Any:
        # The class above tf_keras's own enters a scope once more, for which what is copied need be a variable.
        add = super(tf_keras.optimizers.Optimizer, self).add_variable_from_reference
        made = slots.make(self._options, slot, variable, self._mesh, add)
        if self._mesh is not None:
            self._variables.append(made)
        return made

    finalize_variable_values = untraced(KerasRMSprop.finalize_variable_values)

    def _write_averages(self, variables: Sequence[Any], numbers: Sequence[int]) -> None:
        self._overwrite_model_variables_with_average_value(variables)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the optimizer's variables.

        Args:
            weights: an array for each, in the order of `variables`; or the number of steps alone, which is all that an
                optimizer has before its first step: then the state starts again.

        Raises:
            ValueError: the optimizer is not built, or the number of arrays or a shape differs.
        """
        if self._state is not None and len(weights) != len(self._variables):
            if len(weights) != 1:
                raise ValueError(
                    f"weights holds {len(weights)} arrays, the optimizer has {len(self._variables)} variables"
                )
            self._state.start()
        super().set_weights([_retyped(*pair) for pair in zip(weights, self._variables, strict=False)])

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the state from a Keras file; tf_keras calls this.

        A file from before the first step takes the state back to its start. Averages start at the variables' values,
        which tf_keras reads from the file after this.
        """
        if len(store.keys()) == 1 < len(self._variables) and self._state is not None:
            self._state.start()
            self._iterations.assign(store["0"])
            self._state.follow(self._count)
            return
        if len(store.keys()) == len(self._variables):
            store = {str(i): _retyped(store[str(i)], variable) for i, variable in enumerate(self._variables)}
        super().load_own_variables(store)

    def _check_readable(self, method: str, state: Built, variables: bool) -> None:
        if self._has_mesh():
            raise ValueError(
                f"{method} cannot see all of the state, which is spread over a mesh: tf.train.Checkpoint saves and "
                "restores it"
            )
        if any(one is None for one in state.variables()):
            raise ValueError(
                f"{method} needs the variables' names, and a variable that the optimizer was built for is gone"
            )

    def _count(self) -> int | None:
        return int(self._iterations) if tf.executing_eagerly() else None

    def _find_list(self, position: Any) -> None:
        """Read what a checkpoint that is being restored holds of the state in its list alone."""
        if is_by_slot(position):
            return
        if not elements(position):
            self._listed = self._no_dependency(())
            self._go_back(position)
        elif self._state is not None:
            self._restore_list(position)
        else:
            self._listed = self._no_dependency((*self._listed, position))

    def _restore_list(self, position: Any) -> None:
        children, found = self._trackable_children(), elements(position)
        by_slot = sorted_by_slot(found, len(children[KERAS_ATTRIBUTES["velocity"]]))
        for name, positions in by_slot.items():
            for place, one in zip(positions, children.get(KERAS_ATTRIBUTES[name], ()), strict=False):
                place.restore(one)


def _find_unstarted(state: Built) -> Unstarted | None:
    # A checkpoint that was restored before holds values of averages.
    pairs = [pair for pair in state.averages() if not has_value(pair[1]) and getattr(pair[0], "_update_uid", -1) < 0]
    return Unstarted(pairs) if pairs else None


def _retyped(weight: Any, variable: Any) -> Any:
    """Return an array from a file in its type: HDF5 reads the two bytes of a bfloat16 as no number."""
    array = numpy.asarray(weight)
    dtype = numpy.dtype(variable.dtype.as_numpy_dtype)
    return array.view(dtype) if array.dtype.kind == "V" and array.dtype.itemsize == dtype.itemsize else array
