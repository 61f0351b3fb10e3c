"""RMSprop for TensorFlow's Keras 2, `tf_keras`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, final

import numpy

from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.tf_keras"):
    import tensorflow as tf
    import tf_keras

from rmsprop._core.explain import Explanation
from rmsprop._core.items import Item
from rmsprop._core.options import LearningRate, Options
from rmsprop._core.other_words import refuses_other_words
from rmsprop._numpy.variables import check_pairs, refuse_swapped
from rmsprop._tensorflow import replicas, traced
from rmsprop._tensorflow.engine import Engine
from rmsprop._tf_keras.pairs import is_swapped, with_gradient
from rmsprop._tf_keras.rates import Schedule, as_count, number_of
from rmsprop._tf_keras.state import State


@final
@tf_keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(State):
    r"""RMSprop as Keras 2 defines it, for TensorFlow's `tf_keras`.

    With :math:`g` the gradient, clipped if a clip is on, and weight decay :math:`d` first taken off,
    :math:`w \leftarrow w - \mathrm{lr}\, d\, w`, one step is

    .. math::
        v &\leftarrow \rho v + (1 - \rho) g^2 \\
        \bar g &\leftarrow \rho \bar g + (1 - \rho) g && \text{(centered)} \\
        m &\leftarrow \mu m + \mathrm{lr}\, g / \sqrt{v - \bar g^2 + \epsilon} \\
        w &\leftarrow w - m

    without :math:`\bar g` unless `centered`. It takes the place of `tf_keras.optimizers.RMSprop` wherever that stands:
    `compile`, custom loops, callbacks, strategies, checkpoints in both directions.

    On the CPU a step is a few operations of ours within TensorFlow's graph, eagerly too. Values that were read before
    stay as they are. On other devices, under XLA, in strategies and with DTensor the same rule is traced into
    TensorFlow's own operations. `docs/tf_keras.md` says which way is taken when, and how to choose.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule` of tf_keras or of `rmsprop.schedules`, or a function of
            the step (int from 0) or of nothing, which is called at every step. It passes through float32.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: :math:`\mu`, 0 to 1; 0 keeps no momentum.
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient gives NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips.
        use_ema: keep an exponential moving average of each variable, starting at its initial value. By default it
            overwrites the variable every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the variables become their averages; None: a passive
            average, written only by `finalize_variable_values`, which `fit` calls at its end.
        jit_compile: let XLA compile what our own kernels do not do. Without a GPU it is ignored, as in tf_keras.
        name: kept in the config, and the scope of the state's names.
        mesh: a `tf.experimental.dtensor.Mesh`: the state is made of DVariables, laid out as the variables are.
        initial_velocity: start of :math:`v`, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the variable's.
        native: whether our own kernels may do the step. False: a train step that is exported, or reused within a
            function that XLA compiles. None: as the environment variable ``RMSPROP_NATIVE`` says, 1 (the default) or 0.

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
        `tf_keras.optimizers.RMSprop
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>`_; T. Tieleman and G. Hinton,
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
        if native is not None and not isinstance(native, bool):
            raise TypeError(f"native={native!r} is not True, False or None")
        self._options = Options(
            number_of(learning_rate), rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue,
            global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity,
            slot_dtype,
        )  # fmt: skip
        self._native = native
        self._engine: Engine | None = None
        super().__init__(
            name, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            jit_compile, mesh=mesh,
        )  # fmt: skip
        self._learning_rate = self._build_learning_rate(self._options.learning_rate)

    @tf.autograph.experimental.do_not_convert
    def explain(self, var_list: Sequence[Any] | None = None) -> Explanation:
        """Tell how a step goes: whether our kernels do it, and if not, why.

        Gradients are taken to be dense and of the variables' types. Called in a function that is being traced, or in
        the scope of a strategy, it tells how a step goes there. Nothing is built or compiled; Numba is loaded, which
        takes a moment.

        Args:
            var_list: as for `build`, before that; later some of those that it got. None: all that it got.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`. Variables have their names without the ending
            ":0", or else, if one is repeated, their numbers.

        Raises:
            TypeError: something is no variable, or of another type.
            ValueError: `var_list` is None before `build`, or a variable is unknown or given twice.

        Example:
            >>> import tensorflow as tf
            >>> from rmsprop.tf_keras import RMSprop
            >>> kernel, bias = tf.Variable(tf.ones((3, 4)), name="kernel"), tf.Variable(tf.ones(4), name="bias")
            >>> print(RMSprop(momentum=0.9, native=False).explain([kernel, bias]))
            variable  shape  type     state               way     bytes  why not faster
            kernel    3 x 4  float32  velocity, momentum  traced    336  native=False
            bias      4      float32  velocity, momentum  traced    112  native=False
            2 variables in tf_keras, 0 launches, 448 bytes a step
        """
        from rmsprop._tf_keras.explaining import explain

        return explain(self, self._rounded(), var_list)

    @tf.autograph.experimental.do_not_convert
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
                if self._unstarted is not None and self._unstarted.start():
                    self._unstarted = None
                numbers = self._numbers([variable for _, variable in pairs])
            except TypeError as error:
                refuse_swapped(pairs, is_swapped, error)
                raise
            # A norm is summed in the order of the variables, whatever that of the pairs.
            pairs = [pairs[place] for place in sorted(range(len(pairs)), key=numbers.__getitem__)]
            pairs, numbers = with_gradient(pairs, sorted(numbers))
            iterations = self._step(self._items(pairs, numbers))
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

    def _has_mesh(self) -> bool:
        return self._mesh is not None or self._run_with_dtensor

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
        rate, iterations = self._current_rate(), as_count(tf.convert_to_tensor(self.iterations))
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

    @tf.autograph.experimental.do_not_convert
    def _distributed_step(self, distribution: Any, *columns: Sequence[Any]) -> Any:
        """Step each replica's copy of the variables, where it is."""
        rate = self._current_rate()
        iterations = as_count(tf.convert_to_tensor(self.iterations))
        replicas.step(distribution, self._rounded(), rate, iterations, columns)
        with tf.control_dependencies([rate]):
            return self.iterations.assign_add(1)

    def _rounded(self) -> Options:
        decay = self._options.weight_decay
        # As the original has it: through float32, whatever the variable.
        return self._options if decay is None else replace(self._options, weight_decay=float(numpy.float32(decay)))

    def _current_rate(self) -> Any:
        if isinstance(self._learning_rate, Schedule):
            self._compute_current_learning_rate()
            return tf.convert_to_tensor(self._current_learning_rate)
        return tf.convert_to_tensor(self._learning_rate)

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Not a step: the base class asks for this method, but a step here takes all variables at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call apply_gradients([(gradient, variable)])")

    def __repr__(self) -> str:
        # This is all that Keras 3 says of an optimizer that it does not take.
        return f"<rmsprop.tf_keras.RMSprop {self.name!r}, for tf_keras: a model of Keras 3 takes rmsprop.keras.RMSprop>"
