"""Steps on Keras's TensorFlow backend, by the engine for TensorFlow's variables."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import keras
import tensorflow as tf

from rmsprop._core.explain import Explanation
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.rates import LearningRate
from rmsprop._keras.backends import Backend
from rmsprop._keras.rates import as_function, is_traceable
from rmsprop._keras.steps import Batch, Explainable, Settings
from rmsprop._tensorflow import explaining, rates, replicas, traced
from rmsprop._tensorflow.checks import checked
from rmsprop._tensorflow.engine import Engine


def _waits(variable: Any) -> bool:
    """Whether a variable gets its value only when the function is traced that makes it."""
    with tf.init_scope():
        return tf.executing_eagerly() and not bool(variable.is_initialized())


def _awaited(variable: Any) -> Any:
    """Return the tensor that a variable will start as, of the function that is being traced.

    `tf.function` adds for each variable made in it: if it has no value yet, assign it that tensor.
    """
    graph = tf.compat.v1.get_default_graph()
    while hasattr(graph, "outer_graph"):
        for operation in graph.capture(variable.handle).consumers():
            if operation.type in ("If", "StatelessIf") and operation.inputs[0].op.type == "VarIsInitializedOp":
                return next(one for one in operation.inputs if one.dtype == variable.dtype)
        graph = graph.outer_graph
    raise ValueError(
        f"variable {variable.name!r} has no value yet, which its average starts at: call build(var_list) of the "
        "optimizer outside of the function that makes the variable"
    )


def _raw(variable: Any) -> Any:
    # Within a layer's scope of mixed precision Keras's `value` would be a cast of it.
    return variable._value if isinstance(variable, keras.Variable) else variable


@final
class Stepper:
    """Does an optimizer's steps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = Engine(settings.options, native=settings.native, owner=settings.built)

    def step(self, batch: Batch, gradients: Sequence[Any], learning_rate: Callable[[], Any]) -> None:
        """Do a step of a batch, or add it to the graph that is being traced."""
        scale = self._settings.scale
        with tf.name_scope(self._settings.name):
            variables = [_raw(variable) for variable in batch.variables]
            given = [checked(*pair) for pair in zip(gradients, variables, strict=True)]
            if scale is not None:
                given = [_scaled(gradient, 1 / scale) for gradient in given]
            distributed = replicas.is_replica()
            if distributed:
                given = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, given)
            items = [
                Item(variable, gradient, {name: _raw(one) for name, one in slots.items()}, decays)
                for variable, gradient, slots, decays in zip(variables, given, batch.slots, batch.decays, strict=True)
            ]
            collected = [_raw(one) for one in batch.collected]
            constraints = [variable.constraint for variable in batch.variables]
            if distributed or replicas.first_copied(items) is not None:
                self._step_copies(distributed, items, collected, constraints, learning_rate)
            else:
                self._step_here(items, collected, constraints, learning_rate)

    def _step_here(
        self, items: list[Item], collected: list[Any], constraints: list[Any], learning_rate: Callable[[], Any]
    ) -> None:
        options, each = self._settings.options, self._settings.accumulation
        given = [
            tf.cast(traced.to_dense(item.gradient, item.variable), one.dtype)
            for item, one in zip(items, collected, strict=False)
        ]

        def step(rate: Any, iterations: Any) -> list[Any]:
            sums = [gradient + one for gradient, one in zip(given, collected, strict=True)]
            moved = [item._replace(gradient=each.mean(one)) for item, one in zip(items, sums, strict=False)] or items
            done: list[Any] = self._engine.step(moved, rate, iterations, compiled=_compiles(options))
            for item, constraint in zip(items, constraints, strict=True):
                if constraint is not None:
                    item.variable.assign(constraint(item.variable))
            if not collected:
                return done
            with tf.control_dependencies(done):
                for one in collected:
                    _clear(one)
                return [tf.constant(0)]

        def collect() -> list[Any]:
            for one, gradient in zip(collected, given, strict=True):
                one.assign_add(gradient)
            return [tf.constant(0)]

        self._call(learning_rate(), step, collect)

    def _step_copies(
        self,
        distributed: bool,
        items: list[Item],
        collected: list[Any],
        constraints: list[Any],
        learning_rate: Callable[[], Any],
    ) -> None:
        """Step variables of which a strategy holds copies."""
        given = [
            tf.cast(traced.to_dense(item.gradient, item.variable), one.dtype)
            for item, one in zip(items, collected, strict=False)
        ]
        # A replica's gradients are tensors here and nowhere else: their mean is computed before it is known to count.
        means = [
            self._settings.accumulation.mean(gradient + one) for gradient, one in zip(given, collected, strict=True)
        ]
        moved = [item._replace(gradient=mean) for item, mean in zip(items, means, strict=False)] or items
        columns = replicas.spread(self._settings.options, moved, constraints)

        @tf.autograph.experimental.do_not_convert
        def merged(distribution: Any, columns: Any, collected: Any, given: Any) -> None:
            update = distribution.extended.update

            def step(rate: Any, iterations: Any) -> list[Any]:
                replicas.step(distribution, self._settings.options, rate, iterations, columns)
                for one in collected:
                    update(one, _clear, group=False)
                return [tf.constant(0)]

            def collect() -> list[Any]:
                for one, gradient in zip(collected, given, strict=True):
                    update(one, lambda one, gradient: one.assign_add(gradient), args=(gradient,), group=False)
                return [tf.constant(0)]

            # Once for all replicas: `merge_call` may not stand inside a `tf.cond`.
            self._call(learning_rate(), step, collect)

        if distributed:
            merge = tf.__internal__.distribute.interim.maybe_merge_call
            merge(merged, self._settings.strategy, columns, collected, given)
        else:
            # Outside its strategy a variable's copies all get the same gradient.
            merged(replicas.first_copied(items).distribute_strategy, columns, collected, given)

    def _call(self, rate: Any, step: Callable[[Any, Any], list[Any]], collect: Callable[[], list[Any]]) -> None:
        """Step or collect, and count the call."""
        rate, counter = tf.convert_to_tensor(rate), _raw(self._settings.counter)
        calls = tf.cast(tf.convert_to_tensor(counter), tf.int64)
        done = self._settings.accumulation.advance(calls, lambda iterations: step(rate, iterations), collect, tf.cond)
        # A step that fails does not count.
        with tf.control_dependencies([rate, *done]):
            counter.assign_add(1)


def _clear(one: Any) -> None:
    one.assign(tf.zeros_like(one))


def _scaled(gradient: Any, factor: float) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * tf.cast(factor, gradient.values.dtype), gradient.indices)
    return gradient * tf.cast(factor, gradient.dtype)


def _compiles(options: Options) -> bool:
    """Whether XLA compiles what our kernels do not do."""
    return options.jit_compile and bool(tf.config.list_logical_devices("GPU"))


@final
class Own(Backend):
    """TensorFlow, on which train steps are traced, and strategies copy variables."""

    stepper = Stepper

    def explain(self, front_end: str, settings: Settings, known: Explainable) -> Explanation:
        """Explain a step."""
        options = settings.options
        items = []
        for variable, one, mine in zip(known.variables, known.decays, known.slots, strict=True):
            raw = None if mine is None else {name: _raw(one) for name, one in mine.items()}
            items.append(explaining.item_of(options, _raw(variable), one, raw))
        engine = Engine(options, native=settings.native)
        return explaining.explain(front_end, options, known.names, items, engine=engine, compiled=_compiles(options))

    def untraced(self, method: Any) -> Any:
        """Keep a method from being rewritten by AutoGraph."""
        return tf.autograph.experimental.do_not_convert(method)

    def making(self, copied: Any) -> AbstractContextManager[Any]:
        """Make a variable of the state outside of the function that is being traced, unless it copies one of that."""
        scope: AbstractContextManager[Any] = tf.init_scope()
        if copied is None or not _waits(_raw(copied)):
            return scope
        graph = _awaited(_raw(copied)).graph
        # Within a loop or a branch it is not the default one.
        return nullcontext() if graph is tf.compat.v1.get_default_graph() else graph.as_default()

    def start_of(self, variable: Any) -> Any:
        """Return the value that an average of a variable starts at, or the tensor that will be that value."""
        raw = _raw(variable)
        return _awaited(raw) if _waits(raw) else tf.convert_to_tensor(raw)

    def is_variable(self, value: Any) -> bool:
        """Whether a value is a variable of TensorFlow's own."""
        return isinstance(value, tf.Variable)

    def is_symbolic(self, value: Any) -> bool:
        """Whether a value is a tensor without numbers, of a function that is being traced."""
        return bool(tf.is_symbolic_tensor(value))

    def rate_at(self, rate: LearningRate, iterations: Any) -> Any:
        """Return the learning rate of a step by a function, or by a schedule of ours, as a tensor."""
        known = rate if is_traceable(rate) or not callable(rate) else as_function(rate)
        return rates.rate_at(known, tf.cast(tf.convert_to_tensor(_raw(iterations)), tf.int64))

    def count_of(self, iterations: Any) -> int | None:
        """Return the number of calls so far, None in a function that is being traced."""
        return int(_raw(iterations)) if tf.executing_eagerly() else None

    def copy_into(self, variable: Any, average: Any, strategy: Any) -> None:
        """Write a variable's average into it, on all devices that have it."""

        def assign(variable: Any, average: Any) -> None:
            variable.assign(tf.cast(average, variable.dtype))

        strategy.extended.update(_raw(variable), assign, args=(_raw(average),))

    def is_at_hand(self, tensor: Any) -> bool:
        """Whether a tensor has numbers, outside of a function that is being traced."""
        return tf.executing_eagerly() and not self.is_symbolic(tensor)
