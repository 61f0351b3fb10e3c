"""A whole step on TensorFlow's variables, eagerly and in a graph: native, or by TensorFlow's operations."""

import contextlib
import weakref
from collections.abc import Sequence
from math import prod
from typing import Any, Final, final

import tensorflow as tf

from rmsprop._core.checks import FLOATS
from rmsprop._core.fallback import warn_once
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.switches import against_native
from rmsprop._tensorflow import traced
from rmsprop._tensorflow.available import problem, within_xla
from rmsprop._tensorflow.checks import check_slots, is_sparse, tensors

#: Sets of variables and gradients whose eager steps stay traced. Further sets are stepped operation by operation, which
#: is no slower than tf_keras and keeps no memory.
KEPT: Final = 16

#: Eager steps of a set before its step is traced, after options have changed: they may change at every step.
PATIENCE: Final = 8

#: The optimizers that have done an eager step.
_stepped: "weakref.WeakSet[Any]" = weakref.WeakSet()


@final
class Engine:
    """The steps of one optimizer on variables that are not distributed.

    Args:
        options: the checked arguments.
        native: whether our kernels may do a step; None: as the environment says now.
        owner: the optimizer. If another engine has stepped it, its options have changed since.

    Raises:
        ValueError: the environment variable is neither 0 nor 1.
    """

    def __init__(self, options: Options, *, native: bool | None, owner: Any = None) -> None:
        self._options, self._off = options, against_native(native)
        self._patience = PATIENCE if owner in _stepped else 0
        self._owner = None if owner is None else weakref.ref(owner)
        self._functions: dict[Any, Any] = {}
        self._seen: dict[Any, int] = {}

    def step(self, items: Sequence[Item], learning_rate: Any, iterations: Any, *, compiled: bool = False) -> list[Any]:
        """Step variables, or add the step to the graph that is being traced.

        Args:
            items: what is stepped; gradients are checked.
            learning_rate: a tensor without axes of any float type.
            iterations: steps done before, an integer tensor without axes.
            compiled: whether XLA compiles what our kernels do not do.

        Returns:
            The operations after which the step is done.

        Warns:
            UserWarning: a native step is wanted and impossible; see `rmsprop._core.fallback`.
        """
        if iterations.dtype != tf.int64:
            iterations = tf.cast(iterations, tf.int64)
        eager = tf.executing_eagerly()
        if not eager and (not compiled or within_xla() or self._is_native(items)):
            return self._trace(items, learning_rate, iterations)
        # Traced once: whether a step is native would take longer to find out than a small model's step.
        key = (compiled, learning_rate.dtype, *map(_form, items))
        function = self._functions.get(key)
        if function is None:
            if eager and not self._may_trace(key):
                return self._step_eagerly(items, learning_rate, iterations)
            function = self._function(items, learning_rate.dtype, compiled)
            if len(self._functions) < KEPT:
                # A function that is not kept here lives in the graph that is being traced.
                self._functions[key] = function
        function(*tensors(items), learning_rate, iterations)
        if eager and self._owner is not None:
            # Last, so that an interrupt before leaves the optimizer as it was.
            _stepped.add(self._owner())
            self._owner = None
        return []

    def _may_trace(self, key: Any) -> bool:
        """Whether the step of a set is traced now, and stays traced."""
        if len(self._functions) >= KEPT:
            return False
        if self._patience:
            if len(self._seen) >= 4 * KEPT:
                self._seen.clear()
            self._seen[key] = self._seen.get(key, 0) + 1
            return self._seen[key] > self._patience
        return True

    def _step_eagerly(self, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
        """Step variables operation by operation."""
        with tf.device("CPU:0") if self._is_native(items) else contextlib.nullcontext():
            self._trace(items, learning_rate, iterations)
        return []

    def _trace(self, items: Sequence[Item], learning_rate: Any, iterations: Any) -> list[Any]:
        check_slots(items)
        if not within_xla() and self._is_native(items):
            # Numba is loaded when there is a step for it.
            from rmsprop._tensorflow import native as _native

            return _native.step(self._options, items, tf.cast(learning_rate, tf.float64), iterations)
        return traced.step(self._options, items, learning_rate, iterations, checks=not within_xla())

    def _function(self, items: Sequence[Item], rate: Any, compiled: bool) -> Any:
        """Return a traced step of variables, a function of the tensors of gradients, learning rate and iterations."""
        # Without gradients, which the function would keep alive.
        variables = [item._replace(gradient=None) for item in items]
        sparse = [is_sparse(item.gradient) for item in items]

        def step(*tensors: Any) -> None:
            *flat, learning_rate, iterations = tensors
            given = [_with_gradient(*one, flat) for one in zip(variables, sparse, strict=True)]
            self._trace(given, learning_rate, iterations)

        check_slots(items)
        specs = [spec for item in items for spec in _specs(item)]
        specs += [tf.TensorSpec((), rate), tf.TensorSpec((), tf.int64)]
        by_xla = compiled and not self._is_native(items)
        # Not the `tf.function`, which looks for the traced function at every call.
        return tf.function(step, specs, autograph=False, jit_compile=by_xla).get_concrete_function()

    def _is_native(self, items: Sequence[Item]) -> bool:
        return not self.against(items, warns=True)

    def against(self, items: Sequence[Item], *, warns: bool = False) -> str:
        """Return why a step that XLA does not compile is not native; "" if it is native.

        Args:
            items: what is stepped.
            warns: whether to warn, once in a process, that a native step is wanted and impossible.

        Warns:
            UserWarning: see `rmsprop._core.fallback`.
        """
        if self._off:
            return self._off
        return _against(self._options, items) or (warn_once(problem()) if warns else problem())

    def __deepcopy__(self, memo: Any) -> "Engine":
        # Functions and memory belong to these variables.
        return Engine(self._options, native=not self._off)

    def __reduce__(self) -> Any:
        return _again, (self._options, not self._off)


def _again(options: Options, native: bool) -> Engine:
    return Engine(options, native=native)


def _form(item: Item) -> tuple[Any, ...]:
    gradient = item.gradient
    owners = map(id, (item.variable, *item.slots.values()))
    return (item.decays, gradient.dtype, gradient.indices.dtype if is_sparse(item.gradient) else None, *owners)


def _specs(item: Item) -> list[Any]:
    """Return the types and shapes of a gradient's tensors; a sparse gradient may have any number of rows."""
    gradient, shape = item.gradient, item.variable.shape
    if not is_sparse(item.gradient):
        return [tf.TensorSpec(shape, gradient.dtype)]
    rows = tf.TensorShape([None]).concatenate(shape[1:])
    return [tf.TensorSpec(rows, gradient.dtype), tf.TensorSpec([None], gradient.indices.dtype)]


def _with_gradient(item: Item, sparse: bool, flat: list[Any]) -> Item:
    """Return an item with its gradient, which is removed from the front of the list of all tensors."""
    gradient = flat.pop(0)
    if sparse:
        gradient = tf.IndexedSlices(gradient, flat.pop(0))
    return item._replace(gradient=gradient)


def _against(options: Options, items: Sequence[Item]) -> str:
    """Return why a step is not native: all tensors must be in this process on the CPU, of known shapes and types."""
    if tf.distribute.has_strategy():
        return "within a distribution strategy"
    return next(filter(None, (_against_item(options, item) for item in items)), "")


def _against_item(options: Options, item: Item) -> str:
    name, slot_dtype = item.variable.name, options.slot_dtype or item.variable.dtype.name
    for what, owner in (("variable", item.variable), *item.slots.items()):
        whose = f"the {what} of {name}" if what in item.slots else name
        if not owner.shape.is_fully_defined():
            return f"the shape of {whose} is open: {owner.shape}"
        if owner.dtype.name not in FLOATS or (what in item.slots and owner.dtype.name != slot_dtype):
            return f"{whose} has the type {owner.dtype.name}"
        if not _on_cpu(owner.device):
            return f"{whose} is on the device {owner.device}"
    if item.gradient.dtype.name not in FLOATS:
        return f"the gradient of {name} has the type {item.gradient.dtype.name}"
    if not is_sparse(item.gradient):
        return ""
    return "" if prod(item.variable.shape[1:]) else f"the rows of {name} hold no number"


def _on_cpu(device: str | None) -> bool:
    return not device or ("CPU" in device.upper() and "/job:localhost" in device)
