"""The variables in which tf_keras's optimizers keep their state."""

from contextlib import AbstractContextManager
from typing import Any

import numpy
import tensorflow as tf
import tf_keras

from rmsprop import _slots
from rmsprop._options import Options
from rmsprop.engines.tensorflow._checks import dtype_of


def add_slot(optimizer: Any, options: Options, slot: _slots.Slot, variable: Any) -> Any:
    """Make the variable of a slot, and let the optimizer know it."""
    dtype = tf.as_dtype(_slots.slot_dtype(options, numpy.dtype(dtype_of(variable).as_numpy_dtype)))
    if optimizer._mesh is not None:
        return _add_sharded_slot(optimizer, slot, variable, dtype)
    with _beside(variable):
        start = variable if slot.start is None else tf.fill(_shape(variable), tf.constant(slot.start, dtype))
        reference = variable if dtype == dtype_of(variable) else _Retyped(variable, dtype)
        # The class above tf_keras's own enters that scope once more, for which `reference` need be a variable.
        return super(tf_keras.optimizers.Optimizer, optimizer).add_variable_from_reference(
            reference, slot.name, initial_value=tf.cast(start, dtype)
        )


def _shape(variable: Any) -> Any:
    """Give a variable's shape; if it is not known before there is a value, that of the value."""
    return variable.shape if variable.shape.is_fully_defined() else tf.shape(variable)


def _beside(variable: Any) -> AbstractContextManager[Any]:
    """Make variables where this one is, once for each replica if it is."""
    if not tf.distribute.has_strategy() and isinstance(variable, tf.distribute.DistributedValues):
        scope: AbstractContextManager[Any] = variable.distribute_strategy.scope()
        return scope
    place: AbstractContextManager[Any] = tf.distribute.get_strategy().extended.colocate_vars_with(variable)
    return place


def _add_sharded_slot(optimizer: Any, slot: _slots.Slot, variable: Any, dtype: Any) -> Any:
    # Made from the variable, the state is sharded as it is; zeros of another type would not be.
    start = tf.cast(variable if slot.start is None else tf.zeros_like(variable), dtype)
    if slot.start:
        start += tf.constant(slot.start, dtype)
    made = tf.experimental.dtensor.DVariable(
        start, name=f"{slot.name}/{variable._shared_name}", dtype=dtype, trainable=False
    )
    optimizer._variables.append(made)
    return made


class _Retyped:
    """A variable as a model for one of another type."""

    def __init__(self, variable: Any, dtype: Any) -> None:
        self._variable, self.dtype, self.true_dtype = variable, dtype, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)
