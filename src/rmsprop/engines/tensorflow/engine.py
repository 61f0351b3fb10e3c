"""A whole step on TensorFlow's variables: which way it goes, eagerly and in a graph."""

from collections.abc import Sequence
from math import prod
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from rmsprop._options import FLOATS, Options
from rmsprop.engines.tensorflow import _traced
from rmsprop.engines.tensorflow._items import Item


class Engine:
    """Steps the variables of one optimizer that are not distributed.

    Args:
        options: the checked arguments.
        native: whether our kernels may do it.
    """

    def __init__(self, options: Options, *, native: bool) -> None:
        self._options, self._native = options, native
        self._functions: dict[Any, Any] = {}

    def step(self, items: Sequence[Item], learning_rate: Any, iterations: Any, *, compiled: bool = False) -> list[Any]:
        """Step variables, or add that to the graph that is being traced, and give operations after which it is done.

        Args:
            items: what is stepped; gradients are checked.
            learning_rate: a tensor without axes of any float type.
            iterations: steps done before, an int64 tensor without axes.
            compiled: whether XLA compiles what our kernels do not do.
        """
        if not tf.executing_eagerly() and (not compiled or _within_xla() or self._is_native(items)):
            return self._trace(items, learning_rate, iterations)
        # Asked once: in every step it would take longer than the step of a small model.
        key = (compiled, learning_rate.dtype, *map(_kind, items))
        if key not in self._functions:
            self._functions[key] = self._function(items, learning_rate.dtype, compiled)
        self._functions[key](*_flat(items), learning_rate, iterations)
        return []

    def _trace(self, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
        # Eagerly only if TensorFlow was told to run functions so.
        if not tf.executing_eagerly() and not _within_xla() and self._is_native(items):
            # Numba is loaded when there is a step for it.
            from rmsprop.engines.tensorflow import _native

            return _native.step(self._options, items, tf.cast(learning_rate, tf.float64), iterations)
        return _traced.step(self._options, items, learning_rate, iterations, checks=not _within_xla())

    def _function(self, items: Sequence[Item], rate: Any, compiled: bool) -> Any:
        """Trace a step of these variables for gradients' tensors, a learning rate of a type, and iterations."""
        # The variables are the optimizer's for as long as it lives; gradients are not to be kept.
        kept = [item._replace(gradient=None) for item in items]
        sparse = [item.sparse for item in items]

        def step(*tensors: Any) -> None:
            *flat, learning_rate, iterations = tensors
            given = [_with_gradient(*one, flat) for one in zip(kept, sparse, strict=True)]
            self._trace(given, learning_rate, iterations)

        specs = [spec for item in items for spec in _specs(item)]
        specs += [tf.TensorSpec((), rate), tf.TensorSpec((), tf.int64)]
        by_xla = compiled and not self._is_native(items)
        # The traced function itself: a `tf.function` would find it again at every call, which takes a while.
        return tf.function(step, specs, autograph=False, jit_compile=by_xla).get_concrete_function()

    def _is_native(self, items: Sequence[Item]) -> bool:
        return self._native and _can_be_native(items)

    def __deepcopy__(self, memo: Any) -> "Engine":
        # Functions and memory belong to these variables.
        return Engine(self._options, native=self._native)

    def __reduce__(self) -> Any:
        return _again, (self._options, self._native)


def _again(options: Options, native: bool) -> Engine:
    return Engine(options, native=native)


def _kind(item: Item) -> tuple[Any, ...]:
    gradient = item.gradient
    return (id(item.variable), gradient.dtype, *([gradient.indices.dtype] if item.sparse else []))


def _flat(items: Sequence[Item]) -> list[Any]:
    """List the tensors of all gradients."""
    found = []
    for item in items:
        found += [item.gradient.values, item.gradient.indices] if item.sparse else [item.gradient]
    return found


def _specs(item: Item) -> list[Any]:
    """Say what a gradient's tensors are; a sparse one may have any number of rows."""
    gradient, shape = item.gradient, item.variable.shape
    if not item.sparse:
        return [tf.TensorSpec(shape, gradient.dtype)]
    return [tf.TensorSpec([None, *shape[1:]], gradient.dtype), tf.TensorSpec([None], gradient.indices.dtype)]


def _with_gradient(item: Item, sparse: bool, flat: list[Any]) -> Item:
    """Take a gradient from the front of the list of all tensors."""
    gradient = flat.pop(0)
    if sparse:
        gradient = tf.IndexedSlices(gradient, flat.pop(0), tf.shape(item.variable, tf.int64))
    return item._replace(gradient=gradient)


def _can_be_native(items: Sequence[Item]) -> bool:
    """Whether our kernels can do it: all on this machine's CPU, of known shapes, in this process."""
    from rmsprop.engines.tensorflow._operation import problem

    if problem() is not None or tf.distribute.has_strategy():
        return False
    for item in items:
        for owner in (item.variable, *item.slots.values()):
            if not owner.shape.is_fully_defined() or owner.dtype.name not in FLOATS or not _on_cpu(owner.device):
                return False
        if item.gradient.dtype.name not in FLOATS or (item.sparse and not prod(item.variable.shape[1:])):
            return False
    return True


def _on_cpu(device: str | None) -> bool:
    return not device or ("CPU" in device.upper() and "/job:localhost" in device)


def _within_xla() -> bool:
    """Whether XLA will compile the graph that is being traced."""
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))
