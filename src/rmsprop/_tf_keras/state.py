"""The optimizer's state: variables of TensorFlow's that tf_keras's checkpoints find where the original keeps them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import tensorflow as tf

from rmsprop import _slots
from rmsprop._attributes import HOMES
from rmsprop._tf_keras.arguments import Arguments
from rmsprop._tf_keras.pairs import check_variables
from rmsprop._tf_keras.slots import add_slot
from rmsprop.engines.tensorflow._items import Item


class State(Arguments):
    """What `rmsprop.tf_keras.RMSprop` knows of its state."""

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
        made = {
            slot.name: [add_slot(self, self._options, slot, variable) for variable in var_list]
            for slot in _slots.slots(self._options)
        }
        # What the original has, checkpoints have: an empty list where a slot is off, but no averages then. Each is set
        # once, when it is full, as what was restored before waits for the attribute.
        for name, home in HOMES.items():
            if name in made or name != "average":
                setattr(self, home, made.get(name, []))
        self._decayed = self._no_dependency([self._use_weight_decay(variable) for variable in var_list])
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
            self._numbers(var_list)
        super().finalize_variable_values(var_list)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the optimizer's variables.

        Args:
            weights: an array for each, in the order of `variables`.

        Raises:
            ValueError: the optimizer is not built, or the number of arrays or a shape differs.
        """
        if getattr(self, "_built", False) and len(weights) != len(self._variables):
            raise ValueError(f"weights holds {len(weights)} arrays, the optimizer has {len(self._variables)} variables")
        super().set_weights([_as_kept(*pair) for pair in zip(weights, self._variables, strict=False)])

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the state from a Keras file; tf_keras calls this."""
        if len(store.keys()) == 1:
            # It was saved before its first step. By now tf_keras has built this one, before the model's own variables
            # were read: averages would start elsewhere than they do.
            self._variables, self._built = [self._iterations], False
        if len(store.keys()) == len(self._variables):
            store = {str(i): _as_kept(store[str(i)], variable) for i, variable in enumerate(self._variables)}
        super().load_own_variables(store)

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        # A checkpoint holds the state twice: by slot, and as one list. By the list a momentum would pass for an average
        # of gradients.
        return None if name == "_variables" else super()._lookup_dependency(name, *args, **kwargs)

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
