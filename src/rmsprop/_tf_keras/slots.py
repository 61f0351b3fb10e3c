"""The variables in which tf_keras's optimizers keep their state."""

from contextlib import AbstractContextManager
from typing import Any

import numpy
import tensorflow as tf
import tf_keras

from rmsprop._core import slots
from rmsprop._core.options import Options
from rmsprop._tensorflow.checks import dtype_of
from rmsprop._tf_keras.averages import has_value


def add_slot(optimizer: Any, options: Options, slot: slots.Slot, variable: Any) -> Any:
    """Make the variable of a slot, and let the optimizer know it."""
    dtype = tf.as_dtype(slots.slot_dtype(options, numpy.dtype(dtype_of(variable).as_numpy_dtype)))
    if optimizer._mesh is not None:
        return _add_sharded_slot(optimizer, slot, variable, dtype)
    with _beside(variable):
        # A variable that a function makes while it is traced has no value yet; an average starts as soon as it has.
        copies = slot.start is None and has_value(variable)
        start = variable if copies else start_of(slot, variable, dtype)
        reference = variable if dtype == dtype_of(variable) else _Retyped(variable, dtype)
        # The class above tf_keras's own enters that scope once more, for which `reference` need be a variable.
        return super(tf_keras.optimizers.Optimizer, optimizer).add_variable_from_reference(
            reference, slot.name, initial_value=tf.cast(start, dtype)
        )


def _beside(variable: Any) -> AbstractContextManager[Any]:
    """Make variables where this one is, once for each replica if it is."""
    if not tf.distribute.has_strategy() and isinstance(variable, tf.distribute.DistributedValues):
        scope: AbstractContextManager[Any] = variable.distribute_strategy.scope()
        return scope
    place: AbstractContextManager[Any] = tf.distribute.get_strategy().extended.colocate_vars_with(variable)
    return place


def _add_sharded_slot(optimizer: Any, slot: slots.Slot, variable: Any, dtype: Any) -> Any:
    start = tf.cast(variable, dtype) if slot.start is None else start_of(slot, variable, dtype)
    made = tf.experimental.dtensor.DVariable(
        start, name=f"{slot.name}/{variable._shared_name}", dtype=dtype, trainable=False
    )
    optimizer._variables.append(made)
    return made


def start_of(slot: slots.Slot, like: Any, dtype: Any) -> Any:
    """Give the tensor with which a slot starts that is no copy, of the shape of a variable."""
    if isinstance(like, tf.experimental.dtensor.DVariable) or not like.shape.is_fully_defined():
        # Made from the variable, it is sharded as that is; zeros of another type would not be.
        zeros = tf.cast(tf.zeros_like(like), dtype)
    else:
        zeros = tf.zeros(like.shape, dtype)
    return zeros + tf.constant(slot.start, dtype) if slot.start else zeros


class _Retyped:
    """A variable as a model for one of another type."""

    def __init__(self, variable: Any, dtype: Any) -> None:
        self._variable, self.dtype, self.true_dtype = variable, dtype, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)
