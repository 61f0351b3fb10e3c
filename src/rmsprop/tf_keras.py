"""RMSprop for TensorFlow's Keras 2, `tf_keras`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy

from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.tf_keras"):
    import tensorflow as tf
    import tf_keras

from rmsprop._core.explain import NEEDED, Explanation
from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.pairs import check_pairs, refuse_swapped
from rmsprop._core.rates import LearningRate
from rmsprop._core.saving.matching import plain_names
from rmsprop._core.switches import check_native
from rmsprop._kerases.built import Built
from rmsprop._tensorflow import explaining, replicas, traced
from rmsprop._tensorflow.engine import Engine
from rmsprop._tf_keras.optimizer import TfKerasState
from rmsprop._tf_keras.pairs import check_variables, is_swapped, with_gradient
from rmsprop._tf_keras.rates import as_count
from rmsprop._tf_keras.untraced import untraced

__all__ = ["RMSprop"]


@tf_keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(TfKerasState):
    """RMSprop as Keras 2 defines it, for TensorFlow's `tf_keras`.

    With g the gradient of a variable w, clipped if a clip is on, one step is::

        w = w - learning_rate * weight_decay * w                if weight_decay
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                             if centered, else a = 0
        m = momentum * m + learning_rate * g / sqrt(v - a**2 + epsilon)
        w = w - m

    It replaces `tf_keras.optimizers.RMSprop` everywhere: in `compile`, custom loops, callbacks, strategies, and
    checkpoints in both directions. For Keras 3 (`import keras`), use `rmsprop.keras` instead.

    On the CPU our own kernels do the step, in a few operations within TensorFlow's graph, eagerly too. Values that were
    read before stay as they are. On other devices, under XLA, in strategies and with DTensor the same rule is traced
    into TensorFlow's own operations. `explain` tells which it is, and `docs/frameworks/tf_keras.md` how to choose.

    A subclass may override `apply_gradients`, `aggregate_gradients` (the gradients of every step pass through it unless
    `skip_gradients_aggregation` is True), `minimize`, `compute_gradients`, `build`, `finalize_variable_values`,
    `get_config` and `from_config`, and may have arguments of its own. `update_step` is never called: a step moves all
    variables at once. Decorate it with `tf_keras.saving.register_keras_serializable`, so that models which hold it can
    be loaded.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule` of tf_keras or of `rmsprop.schedules`, or a function of
            the step (int from 0) or of nothing, which is called at every step. It is rounded to float32.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: decay of the momentum m, 0 to 1; 0 is off, and m is not stored.
        epsilon: added to the denominator under the root, >= 0. At 0 a zero gradient leads to NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient; None, as in the next two, is off.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips.
        use_ema: compute an exponential moving average of each variable, starting at its initial value. By default it
            overwrites the variable every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the variables become their averages; None: a passive
            average, written only by `finalize_variable_values`, which `fit` calls at its end.
        jit_compile: whether XLA compiles what our own kernels do not do. Without a GPU it is ignored, as in tf_keras.
        name: stands in the config, and is the scope of the state's names.
        mesh: a `tf.experimental.dtensor.Mesh`: the state is made of DVariables, laid out as the variables are.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the variable's.
        native: whether our own kernels may do the step; False is for a train step that is exported, or reused within a
            function that XLA compiles. None: the environment variable ``RMSPROP_NATIVE`` decides, 1 (the default) or 0.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, or two clips were given.

    Example:
        >>> import tensorflow as tf
        >>> from rmsprop.tf_keras import RMSprop
        >>> opt = RMSprop(learning_rate=0.1)
        >>> var1 = tf.Variable(10.0)
        >>> loss = lambda: (var1 ** 2) / 2.0  # d(loss) / d(var1) = var1
        >>> opt.minimize(loss, [var1])
        >>> print(var1.numpy())
        9.683772

    References:
        `tf_keras.optimizers.RMSprop`
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    @refuses_other_words
    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = 100,
        jit_compile: bool = True,
        name: str = "RMSprop",
        *,
        mesh: Any = None,
        initial_velocity: float = 0.0,
        slot_dtype: str | None = None,
        native: bool | None = None,
    ) -> None:
        self._native, self._options = check_native(native), self._options_of(locals())
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, mesh=mesh,
        )  # fmt: skip
        self._learning_rate = self._build_learning_rate(self._options.learning_rate)

    @untraced
    def _explain(self, var_list: Sequence[Any] | None) -> Explanation:
        options, state = self._rounded(), self._state
        # Of variables that are gone nothing is known.
        known = [] if state is None else [one for one in state.variables() if one is not None]
        variables = known if var_list is None else list(var_list)
        if not variables:
            raise ValueError(NEEDED)
        if state is not None:
            found = self._items(state, [(None, one) for one in variables], self._numbers(variables))
            items = [explaining.item_of(options, one.variable, one.decays, one.slots) for one in found]
        else:
            check_variables(variables)
            decays = [options.decays and self._use_weight_decay(variable) for variable in variables]
            items = [explaining.item_of(options, *pair) for pair in zip(variables, decays, strict=True)]
        return explaining.explain(
            "tf_keras",
            options,
            plain_names([variable.name.removesuffix(":0") for variable in variables]),
            items,
            engine=self._engine or Engine(options, native=self._native),
            compiled=self.jit_compile,
            elsewhere="on a DTensor mesh" if self._has_mesh() else "",
        )

    @untraced
    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Do one step, or add it to the graph that is being traced.

        Args:
            grads_and_vars: pairs of a gradient and its variable. A gradient is a tensor of the variable's shape,
                `tf.IndexedSlices`, or None, which leaves the variable and its state as they are. No pair: nothing
                happens.
            name: of the scope; None: that of the optimizer.
            skip_gradients_aggregation: whether the gradients of a strategy's replicas are summed already.
            **kwargs: ``experimental_aggregate_gradients``, the older word for the opposite.

        Returns:
            The number of steps done, this one included.

        Raises:
            TypeError: a gradient is not of a float type, or there is something that is no pair.
            ValueError: a shape differs, a variable is unknown or given twice, or all gradients are None. Nothing has
                changed then.
        """
        aggregate = kwargs.pop("experimental_aggregate_gradients", True) and not skip_gradients_aggregation
        if kwargs:
            raise TypeError(f"apply_gradients has no argument {next(iter(kwargs))}")
        pairs = list(grads_and_vars)
        check_pairs(pairs)
        if aggregate and self._aggregates(pairs):
            pairs = list(self.aggregate_gradients(pairs))
            check_pairs(pairs)
        if not pairs:
            return self._iterations
        with tf.name_scope(name or self.name or "optimizer"):
            try:
                self.build([variable for _, variable in pairs])
                state: Any = self._state
                if state.unstarted is not None and state.unstarted.start():
                    state.unstarted = None
                numbers = self._numbers([variable for _, variable in pairs])
            except TypeError as error:
                refuse_swapped(pairs, is_swapped, error)
                raise
            # A norm is summed in the order of the variables, whatever that of the pairs.
            pairs = [pairs[place] for place in sorted(range(len(pairs)), key=numbers.__getitem__)]
            pairs, numbers = with_gradient(pairs, sorted(numbers))
            iterations = self._step(self._items(state, pairs, numbers))
            for _, variable in pairs:
                if variable.constraint is not None and not self._has_mesh():
                    variable.assign(variable.constraint(variable))
        return iterations

    def _aggregates(self, pairs: Sequence[tuple[Any, Any]]) -> bool:
        """Whether gradients pass through `aggregate_gradients`; tf_keras's own only sums those of replicas."""
        if self._has_mesh():
            return False
        base: Any = tf_keras.optimizers.Optimizer
        overridden = getattr(self.aggregate_gradients, "__func__", None) is not base.aggregate_gradients
        return overridden or (bool(pairs) and self._is_distributed())

    def _is_distributed(self) -> bool:
        return not self._has_mesh() and replicas.is_replica()

    def _items(self, state: Built, pairs: Sequence[tuple[Any, Any]], numbers: Sequence[int]) -> list[Item]:
        """Put gradients, variables and their state together."""
        decays = self._options.decays
        return [
            Item(variable, gradient, state.slots_of(number), decays and state.decays[number])
            for (gradient, variable), number in zip(pairs, numbers, strict=True)
        ]

    def _step(self, items: Sequence[Item]) -> Any:
        options, distributed = self._rounded(), self._is_distributed()
        copied = replicas.first_copied(items)
        if distributed or copied is not None:
            arguments = replicas.spread(options, items, [None] * len(items))
            if distributed:
                merge = tf.__internal__.distribute.interim.maybe_merge_call
                return merge(self._distributed_step, self._distribution_strategy, *arguments)
            # Outside its strategy a variable's copies all get the same gradient.
            return self._distributed_step(copied.distribute_strategy, *arguments)
        rate, iterations = self._rate_of_step(), as_count(tf.convert_to_tensor(self.iterations))
        done: list[Any] = []
        if self._has_mesh():
            traced.step(options, items, rate, iterations, constrains=True)
        else:
            if self._engine is None:
                self._engine = Engine(options, native=self._native, owner=self)
            done = self._engine.step(items, rate, iterations, compiled=self.jit_compile)
        # A step that fails does not count.
        with tf.control_dependencies(done):
            return self.iterations.assign_add(1)

    @untraced
    def _distributed_step(self, distribution: Any, *columns: Sequence[Any]) -> Any:
        """Step each replica's copy of the variables, where it is."""
        rate = self._rate_of_step()
        iterations = as_count(tf.convert_to_tensor(self.iterations))
        replicas.step(distribution, self._rounded(), rate, iterations, columns)
        with tf.control_dependencies([rate]):
            return self.iterations.assign_add(1)

    def _rounded(self) -> Options:
        decay = self._options.weight_decay
        # As the original has it: through float32, whatever the variable.
        return self._options if decay is None else replace(self._options, weight_decay=float(numpy.float32(decay)))
