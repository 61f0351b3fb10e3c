"""RMSprop for Keras 3, on its TensorFlow, JAX and PyTorch backends."""

from collections.abc import Iterable, Sequence
from typing import Any, final

from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.keras"):
    import keras

from rmsprop._core.explain import Explanation
from rmsprop._core.options import LearningRate, Options
from rmsprop._core.other_words import refuses_other_words
from rmsprop._keras.backends import backend
from rmsprop._keras.moves import as_list, is_swapped
from rmsprop._keras.rates import number_of
from rmsprop._keras.state import State
from rmsprop._numpy.variables import check_pairs, refuse_swapped

_untraced: Any = backend().untraced


@final
@keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(State):
    r"""RMSprop as Keras 2 defines it, for Keras 3 on TensorFlow, JAX and PyTorch.

    With :math:`g` the gradient, clipped if a clip is on, and weight decay :math:`d` first taken off,
    :math:`w \leftarrow w - \mathrm{lr}\, d\, w`, one step is

    .. math::
        v &\leftarrow \rho v + (1 - \rho) g^2 \\
        \bar g &\leftarrow \rho \bar g + (1 - \rho) g && \text{(centered)} \\
        m &\leftarrow \mu m + \mathrm{lr}\, g / \sqrt{v - \bar g^2 + \epsilon} \\
        w &\leftarrow w - m

    without :math:`\bar g` unless `centered`. It takes the place of `keras.optimizers.RMSprop` wherever that stands:
    `compile`, custom loops, callbacks, distributions, files in both directions. The two differ in the moving average of
    the weights: here it starts at the initial weights and replaces them every 100 steps, as in Keras 2.

    On the CPU a step is one of our own kernels': in place with torch, an operation within TensorFlow's graph, a call
    within XLA's on JAX where that has one device. Elsewhere the same rule is traced into the backend's operations.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule` of Keras or of `rmsprop.schedules`, or a function of
            nothing or of the step (int from 0), which is called at every step. It passes through Keras's `floatx`.
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
        jit_compile: let XLA compile what our own kernels do not do where steps are not traced: on JAX, and on
            TensorFlow if there is a GPU. With torch, False runs the rule by plain operations.
        name: kept in the config, and the scope of the state's names; None: one that Keras makes up.
        loss_scale_factor: what `scale_loss` multiplies a loss by, > 0; gradients are divided by it.
        gradient_accumulation_steps: so many calls (>= 2) make one step, of the mean of their gradients; nothing moves
            in the others. A variable without a gradient in a call has no part in it. `iterations` counts steps, and so
            do averages; schedules see the number of calls, as in Keras.
        initial_velocity: start of :math:`v`, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the variable's.
        native: on TensorFlow and JAX, whether our own kernels may do the step. False: a train step that is exported.
            None: as the environment variable ``RMSPROP_NATIVE`` says, 1 (the default) or 0.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, or two clips were given.

    Example:
        >>> import keras
        >>> from rmsprop.keras import RMSprop
        >>> opt = RMSprop(learning_rate=0.1)
        >>> var1 = keras.Variable(10.0)
        >>> _ = opt.apply_gradients([(keras.ops.copy(var1), var1)])  # the gradient of var1 ** 2 / 2
        >>> print(f"{float(keras.ops.convert_to_numpy(var1)):.6f}")
        9.683772

    References:
        `keras.optimizers.RMSprop <https://keras.io/api/optimizers/rmsprop/>`_; T. Tieleman and G. Hinton,
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
        name: str | None = "RMSprop",
        *,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        initial_velocity: float = 0.0,
        slot_dtype: str | None = None,
        native: bool | None = None,
    ) -> None:
        if native is not None and not isinstance(native, bool):
            raise TypeError(f"native={native!r} is not True, False or None")
        self._lock = False  # Keras's sign that attributes may be set
        self._options = Options(
            number_of(learning_rate), rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue,
            global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, jit_compile,
            type(self).__name__ if name is None else name, initial_velocity, slot_dtype,
        )  # fmt: skip
        self._native = native
        super().__init__(
            self._options.learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name,
        )  # fmt: skip

    @_untraced
    def explain(self, var_list: Sequence[Any] | None = None) -> Explanation:
        """Tell how a step goes: for each variable whether a kernel does it, and if not, why.

        Gradients are taken to be dense and of the variables' types. Called in a function that is being traced, or in
        the scope of a strategy, it tells how a step goes there. Nothing is built or compiled; Numba is loaded, which
        takes a moment.

        Args:
            var_list: as for `build`, before that; later some of those that it got. None: all that it got.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`. Variables have their paths for names, or else,
            if one is repeated, their numbers.

        Raises:
            TypeError: something is no variable, or of another type, or `var_list` is one variable.
            ValueError: `var_list` is None before `build`, or a variable is unknown or given twice.

        Example:
            >>> import keras
            >>> from rmsprop.keras import RMSprop
            >>> kernel = keras.Variable(keras.ops.ones((3, 4)), name="kernel")
            >>> found = RMSprop(momentum=0.9, jit_compile=False, native=False).explain([kernel])
            >>> print(found.variables["kernel"].way == "native", found.variables["kernel"].slots)
            False {'velocity': 'float32', 'momentum': 'float32'}
        """
        from rmsprop._keras.explaining import explain

        return explain(self, var_list)

    @_untraced
    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """Do one step, or add it to what is being traced.

        Args:
            grads_and_vars: pairs of a gradient and its variable. A gradient is a tensor of the variable's shape, or one
                that is sparse: `tf.IndexedSlices` on TensorFlow, `jax.experimental.sparse.BCOO` on JAX, a sparse COO
                tensor on torch. None leaves the variable and its state as they are. No pair: nothing happens.

        Returns:
            The variable that counts the calls, this one included.

        Raises:
            TypeError: a gradient is not of a float type, or there is something that is no pair.
            ValueError: a shape differs, a variable is unknown or given twice, or all gradients are None. Nothing has
                changed then.
        """
        pairs = list(grads_and_vars)
        check_pairs(pairs)
        if pairs:
            self._apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    @_untraced
    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Do one step, or add it to what is being traced.

        Args:
            grads: gradients, as for `apply_gradients`.
            trainable_variables: their variables; None: all that the optimizer is built for.

        Raises:
            TypeError: as for `apply_gradients`, or `trainable_variables` is one variable.
            ValueError: as for `apply_gradients`; or the numbers of gradients and variables differ, or the optimizer is
                not built and there are no variables.
        """
        gradients = list(grads)
        if not gradients:
            return
        if trainable_variables is None and not self.built:
            raise ValueError("apply needs trainable_variables, or build(var_list) before it")
        names = "grads", "trainable_variables"
        if trainable_variables is None:
            self._apply(gradients, self._trainable_variables, names)
        else:
            self._apply(gradients, as_list(names[1], trainable_variables), names)

    def _apply(self, gradients: Sequence[Any], variables: Sequence[Any], names: tuple[str, str] | None = None) -> None:
        try:
            self.build(variables)
            if self._follows:
                self._leave()
            moves = self._known.find(self, gradients, variables)
        except TypeError as error:
            refuse_swapped(zip(gradients, variables, strict=False), is_swapped, error, names)
            raise
        if moves.overwritten:
            self._overwrite_variables_directly_with_gradients(
                [gradients[place] for place, _ in moves.overwritten], [variable for _, variable in moves.overwritten]
            )
        self._stepper.step(self, moves, [gradients[place] for place in moves.places])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Not a step: Keras asks for this method, but a step here takes all variables at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call apply_gradients([(gradient, variable)])")

    def __repr__(self) -> str:
        # This is all that tf_keras says of an optimizer that it does not take.
        return f"<rmsprop.keras.RMSprop {self.name!r}, for Keras 3: a model of tf_keras takes rmsprop.tf_keras.RMSprop>"
