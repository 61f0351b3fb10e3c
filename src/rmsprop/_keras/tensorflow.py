"""Steps on Keras's TensorFlow backend, by the engine for TensorFlow's variables."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from rmsprop._core.explain import Explanation
from rmsprop._core.items import Item
from rmsprop._core.options import LearningRate, Options, _number
from rmsprop._keras.moves import Made, Moves
from rmsprop._keras.rates import as_function, is_traceable
from rmsprop._tensorflow import explaining, rates, replicas, traced
from rmsprop._tensorflow.checks import checked
from rmsprop._tensorflow.engine import Engine


def untraced(method: Any) -> Any:
    """Keep a method from being rewritten by AutoGraph."""
    return tf.autograph.experimental.do_not_convert(method)


def making(copied: Any) -> AbstractContextManager[Any]:
    """Make a variable of the state outside of a function that is being traced.

    A function that makes variables gives them their values after it is traced; a copy of one of these is another one.

    Args:
        copied: a variable that this starts as a copy of, or None.
    """
    scope: AbstractContextManager[Any] = tf.init_scope()
    if copied is None or not _waits(_raw(copied)):
        return scope
    graph = _awaited(_raw(copied)).graph
    # Within a loop or a branch it is not the default one.
    return nullcontext() if graph is tf.compat.v1.get_default_graph() else graph.as_default()


def start_of(variable: Any) -> Any:
    """Give the value that an average of a variable starts at, or the tensor that will be that value."""
    raw = _raw(variable)
    return _awaited(raw) if _waits(raw) else tf.convert_to_tensor(raw)


def _waits(variable: Any) -> bool:
    """Whether a variable gets its value only when the function is traced that makes it."""
    with tf.init_scope():
        return tf.executing_eagerly() and not bool(variable.is_initialized())


def _awaited(variable: Any) -> Any:
    """Give the tensor that a variable will start as, of the function that is being traced.

    `tf.function` adds for each variable made in it: if it has no value yet, assign it that tensor.

    Raises:
        ValueError: it was made in another function.
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


def is_variable(value: Any) -> bool:
    """Whether it is a variable of the backend's own."""
    return isinstance(value, tf.Variable)


def is_symbolic(value: Any) -> bool:
    """Whether it is a tensor without a value, of a function that is being traced."""
    return bool(tf.is_symbolic_tensor(value))


def rate_at(rate: LearningRate, iterations: Any) -> Any:
    """Give the learning rate of a step by a function or a schedule of ours, as a tensor."""
    known = rate if is_traceable(rate) or not callable(rate) else as_function(rate)
    return rates.rate_at(known, tf.cast(tf.convert_to_tensor(_raw(iterations)), tf.int64))


def count_of(iterations: Any) -> int | None:
    """Give the number of calls so far, None in a function that is being traced."""
    return int(_raw(iterations)) if tf.executing_eagerly() else None


def check_reader(optimizer: Any) -> None:
    """Refuse to give the state to a model that it is not of: here each step is given the variables, and does that."""


def checked_rate(rate: Any, iterations: Any) -> Any:
    """Refuse what a schedule gives and is no learning rate, where that can be seen."""
    if tf.executing_eagerly() and not is_symbolic(rate):
        _number(f"learning_rate({int(_raw(iterations))})", float(rate))
    return rate


def copy_into(optimizer: Any, variable: Any, average: Any) -> None:
    """Write a variable's average into it, on all devices that have it."""

    def assign(variable: Any, average: Any) -> None:
        variable.assign(tf.cast(average, variable.dtype))

    optimizer._distribution_strategy.extended.update(_raw(variable), assign, args=(_raw(average),))


def _raw(variable: Any) -> Any:
    # Within a layer's scope of mixed precision Keras's `value` would be a cast of it.
    return variable._value if isinstance(variable, keras.Variable) else variable


class Stepper:
    """Does an optimizer's steps."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def step(self, optimizer: Any, moves: Moves, gradients: Sequence[Any]) -> None:
        """Do a step, or add it to the graph that is being traced.

        Args:
            optimizer: the optimizer.
            moves: what moves.
            gradients: of `moves.variables`.
        """
        with tf.name_scope(optimizer.name):
            variables = [_raw(variable) for variable in moves.variables]
            given = [checked(*pair) for pair in zip(gradients, variables, strict=True)]
            if optimizer.loss_scale_factor is not None:
                given = [_scaled(gradient, 1 / optimizer.loss_scale_factor) for gradient in given]
            distributed = replicas.is_replica()
            if distributed:
                given = [
                    gradient for gradient, _ in optimizer._all_reduce_sum_gradients(zip(given, variables, strict=True))
                ]
            items = [
                Item(variable, gradient, {name: _raw(one) for name, one in slots.items()}, decays)
                for variable, gradient, (slots, decays) in zip(variables, given, optimizer._kept(moves), strict=True)
            ]
            collected = [_raw(one) for one in optimizer._collected(moves)]
            constraints = [variable.constraint for variable in moves.variables]
            copied = replicas.first_copied(items)
            if copied is None and not distributed:
                self._step_here(optimizer, items, collected, constraints)
            else:
                _step_copies(optimizer, distributed, copied, items, collected, constraints)

    def _step_here(
        self, optimizer: Any, items: list[Item], collected: Sequence[Any], constraints: Sequence[Any]
    ) -> None:
        rate, counter = tf.convert_to_tensor(optimizer.learning_rate), _raw(optimizer._iterations)
        calls = tf.cast(tf.convert_to_tensor(counter), tf.int64)
        options = optimizer._options

        def step(items: list[Item], iterations: Any) -> list[Any]:
            engine = self._engine
            if engine is None:
                engine = self._engine = Engine(options, native=optimizer._native, owner=optimizer)
            done = engine.step(items, rate, iterations, compiled=_compiles(options))
            for item, constraint in zip(items, constraints, strict=True):
                if constraint is not None:
                    item.variable.assign(constraint(item.variable))
            return done

        if collected:
            done = [_collect(optimizer.gradient_accumulation_steps, calls, items, collected, step)]
        else:
            done = step(items, calls)
        # A step that fails does not count.
        with tf.control_dependencies(done):
            counter.assign_add(1)


def explain(front_end: str, optimizer: Any, names: Sequence[str], made: Sequence[Made]) -> Explanation:
    """Explain a step of variables that all have a gradient."""
    options = optimizer._options
    items = []
    for variable, decays, slots in made:
        kept = None if slots is None else {name: _raw(one) for name, one in slots.items()}
        items.append(explaining.item_of(options, _raw(variable), decays, kept))
    engine = optimizer._stepper._engine or Engine(options, native=optimizer._native)
    return explaining.explain(front_end, options, names, items, engine=engine, compiled=_compiles(options))


def _scaled(gradient: Any, factor: float) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * tf.cast(factor, gradient.values.dtype), gradient.indices)
    return gradient * tf.cast(factor, gradient.dtype)


def _compiles(options: Options) -> bool:
    """Whether XLA compiles what our kernels do not do."""
    return options.jit_compile and bool(tf.config.list_logical_devices("GPU"))


def _collect(
    steps: int,
    calls: Any,
    items: Sequence[Item],
    collected: Sequence[Any],
    step: Callable[[list[Item], Any], Sequence[Any]],
) -> Any:
    """Add up gradients, and step by their mean when it is time; give an operation after which that is done."""
    gradients = [
        tf.cast(traced.to_dense(item.gradient, item.variable), one.dtype)
        for item, one in zip(items, collected, strict=True)
    ]

    def step_all() -> Any:
        means = [(gradient + one) / steps for gradient, one in zip(gradients, collected, strict=True)]
        moved = [item._replace(gradient=mean) for item, mean in zip(items, means, strict=True)]
        with tf.control_dependencies(step(moved, calls // steps)):
            for one in collected:
                one.assign(tf.zeros_like(one))
            return tf.constant(0)

    def add() -> Any:
        for gradient, one in zip(gradients, collected, strict=True):
            one.assign_add(gradient)
        return tf.constant(0)

    return tf.cond(tf.equal((calls + 1) % steps, 0), step_all, add)


def _step_copies(
    optimizer: Any,
    distributed: bool,
    copied: Any,
    items: Sequence[Item],
    collected: Sequence[Any],
    constraints: Sequence[Any],
) -> None:
    """Step variables of which a strategy keeps copies."""
    given = [
        tf.cast(traced.to_dense(item.gradient, item.variable), one.dtype)
        for item, one in zip(items, collected, strict=False)
    ]
    if collected:
        steps = optimizer.gradient_accumulation_steps
        means = [(gradient + one) / steps for gradient, one in zip(given, collected, strict=True)]
        items = [item._replace(gradient=mean) for item, mean in zip(items, means, strict=True)]
    columns = replicas.spread(optimizer._options, items, constraints)
    if distributed:
        merge = tf.__internal__.distribute.interim.maybe_merge_call
        merge(_merged, optimizer._distribution_strategy, optimizer, columns, list(collected), given)
    else:
        # Outside its strategy a variable's copies all get the same gradient.
        _merged(copied.distribute_strategy, optimizer, columns, list(collected), given)


@tf.autograph.experimental.do_not_convert
def _merged(
    distribution: Any,
    optimizer: Any,
    columns: Sequence[Sequence[Any]],
    collected: Sequence[Any],
    gradients: Sequence[Any],
) -> None:
    """Step by what the replicas bring, or collect it; a choice between the two must be made for all of them here."""
    rate, counter = tf.convert_to_tensor(optimizer.learning_rate), _raw(optimizer._iterations)
    calls, update = tf.cast(tf.convert_to_tensor(counter), tf.int64), distribution.extended.update

    def step(iterations: Any) -> Any:
        replicas.step(distribution, optimizer._options, rate, iterations, columns)
        for one in collected:
            update(one, lambda one: one.assign(tf.zeros_like(one)), group=False)
        return tf.constant(0)

    def add() -> Any:
        for one, gradient in zip(collected, gradients, strict=True):
            update(one, lambda one, gradient: one.assign_add(gradient), args=(gradient,), group=False)
        return tf.constant(0)

    steps = optimizer.gradient_accumulation_steps
    done = tf.cond(tf.equal((calls + 1) % steps, 0), lambda: step(calls // steps), add) if collected else step(calls)
    with tf.control_dependencies([rate, done]):
        counter.assign_add(1)
