"""The optimizer's state: variables of TensorFlow's that tf_keras's checkpoints find where the original keeps them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import tensorflow as tf

from rmsprop._core import slots as _slots
from rmsprop._core.exclusion import excluded_by_name
from rmsprop._core.items import Item
from rmsprop._kerases.attributes import HOMES
from rmsprop._kerases.following import follow
from rmsprop._kerases.restoring import Restored, elements, is_by_slot, sorted_by_slot
from rmsprop._tf_keras import files
from rmsprop._tf_keras.arguments import Arguments
from rmsprop._tf_keras.averages import Owners, Unstarted, copy_into, has_value
from rmsprop._tf_keras.pairs import check_variables
from rmsprop._tf_keras.slots import add_slot, start_of


class State(Restored, Arguments):
    """What `rmsprop.tf_keras.RMSprop` knows of its state."""

    #: What an unfinished build has made: keys of the variables, what `_variables` held before, and the slots.
    _made: tuple[list[Any], list[Any], dict[str, list[Any]]] | None = None
    _owners = Owners()
    _unstarted: Unstarted | None = None
    #: Where checkpoints hold the state as a list, which waits for `build`.
    _listed: tuple[Any, ...] = ()

    @tf.autograph.experimental.do_not_convert
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
        if getattr(self, "_built", False):
            return
        # TensorFlow turns it off for a while whenever it notes an attribute, and an interrupt then leaves it so.
        self._setattr_tracking = True
        check_variables(var_list)
        self._build_index_dict(var_list)
        if len(self._index_dict) < len(var_list):
            raise ValueError(f"a variable is given twice among {', '.join(variable.name for variable in var_list)}")
        patterns = getattr(self, "_exclude_from_weight_decay_names", [])
        named = excluded_by_name(patterns, [[variable.name] for variable in var_list])
        decayed = [not name and self._use_weight_decay(one) for one, name in zip(var_list, named, strict=True)]
        with tf.init_scope():
            made = self._make(var_list)
            self._decayed, self._owners = self._no_dependency(decayed), Owners(var_list)
            # What the original has, checkpoints have: an empty list where a slot is off, but no averages then. Each is
            # set once, when it is full, as what was restored before waits for the attribute.
            for name, home in HOMES.items():
                if name in made or name != "average":
                    setattr(self, home, made.get(name, []))
            for position in self._listed:
                self._restore_list(position)
            self._unstarted = self._find_unstarted(var_list)
            self._built = True
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
                slot.name: [add_slot(self, self._options, slot, variable) for variable in var_list]
                for slot in _slots.slots(self._options)
            }
            self._made = self._no_dependency((keys, before, made))
        except BaseException:
            # An interrupt, too, leaves no slots that nobody knows, nor any that are known and gone.
            self._made, self._variables = None, before
            self._sharded_variable_builders.clear()
            raise
        return made

    def _find_unstarted(self, var_list: Sequence[Any]) -> Unstarted | None:
        if not self.use_ema or self._has_mesh():
            return None
        averages = self._model_variables_moving_average
        pairs = [pair for pair in zip(averages, var_list, strict=True) if not has_value(pair[1])]
        # A checkpoint that was restored before has given some their values.
        pairs = [pair for pair in pairs if getattr(pair[0], "_update_uid", -1) < 0]
        return Unstarted(pairs) if pairs else None

    @tf.autograph.experimental.do_not_convert
    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Write the averages into variables, if `use_ema`; `fit` does it at its end.

        Args:
            var_list: variables that the optimizer was built for.

        Raises:
            ValueError: the optimizer is not built, or a variable is unknown to it.
        """
        if self.use_ema:
            variables = list(var_list)
            if not variables:
                return  # `fit` comes here with a model that has nothing to train, too
            if not getattr(self, "_built", False):
                raise ValueError("finalize_variable_values needs the averages: call build(var_list) first")
            self._numbers(variables)
            var_list = variables
        super().finalize_variable_values(var_list)

    def save(
        self, path: str | os.PathLike[str], *, variables: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Variables have their names without the ending ":0", or else, if one is repeated, their numbers.

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            variables: whether to write the variables too, so that file and model cannot fall apart.
            metadata: texts of your own to keep with it, which `load` and `rmsprop.checkpoint.read_metadata` return.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `metadata` is no mapping, or holds something else than strings.
            ValueError: the optimizer is not built, a function is being traced, the state is on a mesh, or `metadata`
                uses a name that begins with ``rmsprop.`` or is longer than the format allows (100 MB).

        Example:
            >>> import tempfile, tensorflow as tf
            >>> from rmsprop.tf_keras import RMSprop
            >>> w, optimizer, again = tf.Variable([1.0, 2.0], name="w"), RMSprop(learning_rate=0.5), RMSprop()
            >>> for one in optimizer, again:
            ...     one.build([w])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
            ...     print(again.load(f"{folder}/run"), float(again.learning_rate))
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
            ValueError: the optimizer is not built, a function is being traced, the state is on a mesh, the file is
                damaged, or it holds other names, shapes, types or slots than this optimizer needs, or groups of
                variables that differ in their options; the error lists the differences. Nothing has changed then.
        """
        return files.load(self, path, variables, names)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the optimizer's variables.

        Args:
            weights: an array for each, in the order of `variables`; or the number of steps alone, which is all that an
                optimizer has before its first step: then the state starts again.

        Raises:
            ValueError: the optimizer is not built, or the number of arrays or a shape differs.
        """
        if getattr(self, "_built", False) and len(weights) != len(self._variables):
            if len(weights) != 1:
                raise ValueError(
                    f"weights holds {len(weights)} arrays, the optimizer has {len(self._variables)} variables"
                )
            self._start_again()
        super().set_weights([_as_kept(*pair) for pair in zip(weights, self._variables, strict=False)])

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the state from a Keras file; tf_keras calls this.

        A file from before the first step takes the state back to its start. Averages start as the variables, whose
        values tf_keras reads from the file after this.
        """
        if len(store.keys()) == 1 < len(self._variables):
            self._start_again()
            self._iterations.assign(store["0"])
            for average, variable in self._averages():
                follow(self, average, variable, copy_into)
            return
        if len(store.keys()) == len(self._variables):
            store = {str(i): _as_kept(store[str(i)], variable) for i, variable in enumerate(self._variables)}
        super().load_own_variables(store)

    def _averages(self) -> list[tuple[Any, Any]]:
        """Pair averages with the variables that are still there."""
        kept = self._model_variables_moving_average if self.use_ema else []
        return [pair for pair in zip(kept, self._owners, strict=False) if pair[1] is not None]

    def _start_again(self) -> None:
        """Set the state to what it is before the first step, in place: traced functions hold its variables."""
        for slot in _slots.slots(self._options):
            for kept in getattr(self, HOMES[slot.name]) if slot.start is not None else ():
                kept.assign(start_of(slot, kept, kept.dtype))
        self._start_averages()

    def _start_averages(self) -> None:
        for average, variable in self._averages():
            copy_into(average, variable)

    def _count(self) -> int | None:
        return int(self._iterations) if tf.executing_eagerly() else None

    def _find_list(self, position: Any) -> None:
        """Take what a checkpoint that is being restored holds of the state in its list alone."""
        if is_by_slot(position):
            return
        built = getattr(self, "_built", False)
        if not elements(position):
            self._listed = self._no_dependency(())
            self._go_back(position, built)
        elif built:
            self._restore_list(position)
        else:
            self._listed = self._no_dependency((*self._listed, position))

    def _restore_list(self, position: Any) -> None:
        children, found = self._trackable_children(), elements(position)
        slots = sorted_by_slot(found, len(children[HOMES["velocity"]]))
        for name, positions in slots.items():
            for place, kept in zip(positions, children.get(HOMES[name], ()), strict=False):
                place.restore(kept)

    def _numbers(self, variables: Sequence[Any]) -> list[int]:
        """Give the places of variables among those of `build`; ValueError for one unknown or given twice."""
        check_variables(variables)
        found = [self._index_dict.get(self._var_key(variable)) for variable in variables]
        for number, variable in zip(found, variables, strict=True):
            if number is None:
                raise ValueError(
                    f"variable {variable.name!r} is not among those the optimizer was built for: "
                    "pass all variables to build() first"
                )
        if len(set(found)) < len(found):
            raise ValueError(f"a variable is given twice among {', '.join(one.name for one in variables)}")
        return found

    def _items(self, pairs: Sequence[tuple[Any, Any]], numbers: Sequence[int]) -> list[Item]:
        """Put gradients, variables and their state together."""
        kept = [(slot.name, getattr(self, HOMES[slot.name])) for slot in _slots.slots(self._options)]
        decays = self._options.decays
        return [
            Item(variable, gradient, {name: state[number] for name, state in kept}, decays and self._decayed[number])
            for (gradient, variable), number in zip(pairs, numbers, strict=True)
        ]


def _as_kept(weight: Any, variable: Any) -> Any:
    """Give an array from a file its type back: HDF5 takes the two bytes of a bfloat16 for no number."""
    array = numpy.asarray(weight)
    dtype = numpy.dtype(variable.dtype.as_numpy_dtype)
    return array.view(dtype) if array.dtype.kind == "V" and array.dtype.itemsize == dtype.itemsize else array
