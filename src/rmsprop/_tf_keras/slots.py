"""The variables in which tf_keras's optimizers hold their state."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, final

import numpy
import tensorflow as tf

from rmsprop._core import slots as _slots
from rmsprop._core.options import Options
from rmsprop._core.slots import Slot
from rmsprop._tensorflow.checks import dtype_of


@final
class Unstarted:
    """Averages of variables that have no value yet: their function is being traced, and was never called.

    TensorFlow assigns such variables their values either before it traces the function again, or in this graph.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = list(pairs)
        # In a graph it is not known while tracing whether that has been.
        self._started = tf.Variable(False, trainable=False, name="started")

    def start(self) -> bool:
        """Start the averages, or add that to the graph that is being traced; whether it is done."""
        with tf.init_scope():
            if all(has_value(variable) for _, variable in self._pairs):
                if not self._started:
                    self._assign()
                return True
        if not tf.distribute.has_strategy():
            tf.cond(self._started, lambda: None, self._assign)
        return False

    def _assign(self) -> None:
        for average, variable in self._pairs:
            set_to_start(Slot("average", None), average, variable)
        self._started.assign(True)


def has_value(variable: Any) -> bool:
    """Whether a variable has a value already."""
    return not tf.executing_eagerly() or bool(variable.is_initialized())


def set_to_start(slot: Slot, one: Any, variable: Any) -> None:
    """Set a variable's state in a slot to its start, in place."""
    one.assign(tf.cast(variable, one.dtype) if slot.start is None else _start_of(slot, one, one.dtype))


def make(options: Options, slot: Slot, variable: Any, mesh: Any, add: Callable[..., Any]) -> Any:
    """Make the variable of a slot; where there is no mesh, by the method `add` of tf_keras."""
    dtype = tf.as_dtype(_slots.slot_dtype(options, numpy.dtype(dtype_of(variable).as_numpy_dtype)))
    if mesh is not None:
        start = tf.cast(variable, dtype) if slot.start is None else _start_of(slot, variable, dtype)
        name = f"{slot.name}/{variable._shared_name}"
        return tf.experimental.dtensor.DVariable(start, name=name, dtype=dtype, trainable=False)
    with _beside(variable):
        # A variable that a function makes while it is traced has no value yet; an average starts as soon as it has.
        copies = slot.start is None and has_value(variable)
        start = variable if copies else _start_of(slot, variable, dtype)
        reference = variable if dtype == dtype_of(variable) else _Retyped(variable, dtype)
        return add(reference, slot.name, initial_value=tf.cast(start, dtype))


def _beside(variable: Any) -> AbstractContextManager[Any]:
    """Make variables where this one is, once for each replica if it is."""
    if not tf.distribute.has_strategy() and isinstance(variable, tf.distribute.DistributedValues):
        scope: AbstractContextManager[Any] = variable.distribute_strategy.scope()
        return scope
    place: AbstractContextManager[Any] = tf.distribute.get_strategy().extended.colocate_vars_with(variable)
    return place


def _start_of(slot: Slot, like: Any, dtype: Any) -> Any:
    """Return the tensor, of the shape of a variable, at which a slot starts that is no copy."""
    if isinstance(like, tf.experimental.dtensor.DVariable) or not like.shape.is_fully_defined():
        # Made from the variable, it is sharded as that is; zeros of another type would not be.
        zeros = tf.cast(tf.zeros_like(like), dtype)
    else:
        zeros = tf.zeros(like.shape, dtype)
    return zeros + tf.constant(slot.start, dtype) if slot.start else zeros


@final
class _Retyped:
    """A variable as a model for one of another type."""

    def __init__(self, variable: Any, dtype: Any) -> None:
        self._variable, self.dtype, self.true_dtype = variable, dtype, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)
