"""The optimizer's state: variables of Keras's, in the order and by the names of Keras's own optimizer."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy

from rmsprop._core import slots as _slots
from rmsprop._core.exclusion import excluded_by_name
from rmsprop._core.warnings import warn
from rmsprop._keras import files, labels
from rmsprop._keras.arguments import Arguments
from rmsprop._keras.backends import backend
from rmsprop._keras.moves import Known, Moves, as_list, check_variables, is_overwritten, name_of
from rmsprop._keras.slots import model_of, set_to_start
from rmsprop._kerases.attributes import COLLECTED, HOMES
from rmsprop._kerases.following import follow, leave
from rmsprop._kerases.restoring import Restored, elements, is_by_slot


class State(Restored, Arguments):
    """What `rmsprop.keras.RMSprop` knows of its state."""

    #: Whether averages wait for values of their variables.
    _follows = False

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
        self._abandon()
        try:
            super().build(variables)
            for slot, home in HOMES.items():
                if slot != "average":
                    setattr(self, home, self._make_slots(slot, variables))
            self._exclude(variables)
            self._known = Known()
        except BaseException:
            # Keras says so when averages are there; an interrupt may come before the others are.
            self.built = False
            raise

    def _abandon(self) -> None:
        """Let go of what an interrupted build has left."""
        numbers = (self._iterations, self._learning_rate)
        for variable in self._variables[:]:
            if all(variable is not one for one in numbers):
                self._untrack_variable(variable)
        self._trainable_variables_indices.clear()

    def _exclude(self, variables: Sequence[Any]) -> None:
        """Find the variables that weight decay leaves alone by their names."""
        names = [(name_of(variable), str(variable.name)) for variable in variables]
        for variable, excluded in zip(variables, excluded_by_name(self._excluded_names, names), strict=True):
            if excluded:
                # Keras's own search is in the last part of the name alone.
                self._exclude_from_weight_decay_cache[self._var_key(variable)] = False

    @property
    def variables(self) -> list[Any]:
        """The counter, the learning rate if it is a number, and the state.

        Raises:
            ValueError: on JAX, a model reads them whose variables the optimizer was not built for.
        """
        if self.built:
            backend().check_reader(self)
        return list(super().variables)

    def _make_slots(self, name: str, variables: Sequence[Any]) -> list[Any]:
        if all(slot.name != name for slot in _slots.slots(self._options)):
            return []
        return [None if is_overwritten(one) else self.add_variable_from_reference(one, name) for one in variables]

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Any:
        """Make a variable of the state; Keras's `build` calls this, too.

        Args:
            reference_variable: the variable that it is for.
            name: that of the slot.
            initializer: how it starts, if it is no slot of ours.
        """
        model, copied = reference_variable, None
        for slot in _slots.slots(self._options):
            if slot.name == name:
                model, initializer = model_of(self._options, slot, reference_variable)
                copied = reference_variable if slot.start is None else None
                break
        with backend().making(copied):
            return super().add_variable_from_reference(model, name, initializer)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Write the averages into variables, if `use_ema`; `fit` does it at its end.

        Args:
            var_list: variables that the optimizer was built for.

        Raises:
            TypeError: `var_list` is one variable.
            ValueError: the optimizer is not built, or a variable is unknown to it.
        """
        variables = as_list("var_list", var_list)
        if not self.use_ema or not variables:
            return  # `fit` comes here with a model that has nothing to train, too
        if not self.built:
            raise ValueError("finalize_variable_values needs the averages: call build(var_list) first")
        for number, variable in zip(self._numbers(variables), variables, strict=True):
            average = self._model_variables_moving_average[number]
            if average is not None:
                backend().copy_into(self, variable, average)

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

    def _numbers(self, variables: Sequence[Any]) -> list[int]:
        """Give the places of variables among those of `build`; ValueError for one unknown or given twice."""
        check_variables(variables)
        found = [self._trainable_variables_indices.get(self._var_key(variable)) for variable in variables]
        for number, variable in zip(found, variables, strict=True):
            if number is None:
                raise ValueError(
                    f"variable {name_of(variable)!r} is not among those the optimizer was built for: pass all "
                    "variables to build() first, or make a new optimizer"
                )
        if len(set(found)) < len(found):
            raise ValueError(f"a variable is given twice among {', '.join(map(name_of, variables))}")
        return found

    def _kept(self, moves: Moves) -> list[tuple[dict[str, Any], bool]]:
        """Give each variable's state, slot name -> variable, and whether weight decay applies to it."""
        slots = [(slot.name, getattr(self, HOMES[slot.name])) for slot in _slots.slots(self._options)]
        decays = self._options.decays
        return [
            ({name: made[number] for name, made in slots}, decays and self._use_weight_decay(variable))
            for number, variable in zip(moves.numbers, moves.variables, strict=True)
        ]

    def _collected(self, moves: Moves) -> list[Any]:
        """Give the variables that collect gradients, none if a call is a step."""
        if self.gradient_accumulation_steps is None:
            return []
        return [self._accumulated_gradients[number] for number in moves.numbers]

    def save(
        self, path: str | os.PathLike[str], *, variables: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Variables have their paths for names, or else, if one is repeated, their numbers.

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            variables: whether to write the variables too, so that file and model cannot fall apart.
            metadata: texts of your own to keep with it, which `load` and `rmsprop.checkpoint.read_metadata` return.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `metadata` is no mapping, or holds something else than strings.
            ValueError: the optimizer is not built, a function is being traced, gradients of an unfinished step are
                collected, or `metadata` uses a name that begins with ``rmsprop.`` or is longer than the format allows
                (100 MB).

        Example:
            >>> import tempfile, keras
            >>> from rmsprop.keras import RMSprop
            >>> w, optimizer, again = keras.Variable([1.0, 2.0], name="w"), RMSprop(learning_rate=0.5), RMSprop()
            >>> for one in optimizer, again:
            ...     one.build([w])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
            ...     print(again.load(f"{folder}/run"), float(again.learning_rate.value))
            {'epoch': '7'} 0.5
        """
        files.save(self, path, variables, metadata)

    def load(
        self, path: str | os.PathLike[str], *, variables: bool = False, names: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Go on from a file that `save` of any front end wrote.

        What is read: the state, the iterations, and the learning rate unless a schedule rules here. The options stay
        those of the constructor. State goes by the variables' names, in any order, if the file has the same; by
        position if no name is in common and all shapes agree.

        Args:
            path: the file.
            variables: whether to read the variables too; the file must hold them.
            names: name in the file -> name here, for variables that are called differently.

        Returns:
            The texts that were given to `save`.

        Warns:
            UserWarning: it goes by position, and the pairs are listed; or an option in the file is another than here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: `names` is no mapping of strings.
            ValueError: the optimizer is not built, a function is being traced, the file is damaged, or it holds other
                names, shapes, types or slots than this optimizer needs, or groups of variables that differ in their
                options; the error lists the differences. Nothing has changed then.
        """
        return files.load(self, path, variables, names)

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

    def save_own_variables(self, store: Any) -> None:
        """Write the state to a Keras file; Keras calls this."""
        label = labels.of(self)
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
        if not self.built or not len(store.keys()):
            super().load_own_variables(store)  # which says that it reads nothing, if a file has no optimizer
            return
        label, noted = labels.of(self), labels.read(store)
        numbers = labels.numbers_alone(store) if len(store.keys()) < len(label) else None
        if numbers is not None:
            # Saved before the first step. Keras may have built this one before it read the model's variables, or
            # steps have been traced with this state: it stays, and starts again.
            self._start_again()
            label, noted = [one for one in label if one[0] in labels.NUMBERS], numbers
        for variable, key in labels.match(label, noted, store.keys()):
            value = numpy.asarray(store[key])
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"the file holds shape {value.shape} for {variable.path!r}, not {variable.shape}")
            if any(variable is one for one in self._velocities) and (value < 0).any():
                raise ValueError(f"the file holds negative numbers for {variable.path!r}: {labels.ADVICE}")
            variable.assign(value)
        if numbers is not None:
            self._follow()

    def _start_again(self) -> None:
        """Take the state back to what it is before the first step."""
        self._start(_slots.slots(self._options))
        for one in getattr(self, COLLECTED, ()):
            one.assign(keras.ops.zeros(one.shape, one.dtype))

    def _start_averages(self) -> None:
        self._start(self._copies())

    def _start(self, slots: Iterable[_slots.Slot]) -> None:
        for slot in slots:
            for kept, variable in self._pairs(slot):
                set_to_start(self._options, slot, kept, variable)

    def _follow(self) -> None:
        """Start averages at what is read into their variables after this, as long as no step comes."""
        for slot in self._copies():
            for average, variable in self._pairs(slot):
                follow(self, average, variable, partial(set_to_start, self._options, slot))
                self._follows = True

    def _leave(self) -> None:
        self._follows = False
        for variable in self._trainable_variables:
            leave(self, variable)

    def _copies(self) -> list[_slots.Slot]:
        return [slot for slot in _slots.slots(self._options) if slot.start is None]

    def _pairs(self, slot: _slots.Slot) -> Iterator[tuple[Any, Any]]:
        """Give each variable's state in a slot, and the variable."""
        pairs = zip(getattr(self, HOMES[slot.name]), self._trainable_variables, strict=True)
        return ((kept, variable) for kept, variable in pairs if kept is not None)

    def _count(self) -> int | None:
        found: int | None = backend().count_of(self._iterations)
        return found

    def _find_list(self, position: Any) -> None:
        if is_by_slot(position):
            return
        # After the iterations there is the learning rate, unless a schedule rules.
        if len(elements(position)) > 1:
            warn("the checkpoint holds the state of an optimizer of another kind: the state of this one starts anew")
        self._go_back(position, self.built)
