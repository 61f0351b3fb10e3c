"""RMSprop for Keras 3, on its TensorFlow, JAX and PyTorch backends."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.keras"):
    import keras

from rmsprop._core.checks import check_number
from rmsprop._core.explain import Explanation
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.pairs import check_pairs, refuse_swapped
from rmsprop._core.rates import LearningRate
from rmsprop._core.switches import check_native
from rmsprop._keras.backends import backend
from rmsprop._keras.optimizer import KerasState
from rmsprop._keras.steps import Steps
from rmsprop._keras.variables import as_list, is_swapped

__all__ = ["RMSprop"]

_untraced: Any = backend().untraced


@keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(KerasState):
    """RMSprop as Keras 2 defines it, for Keras 3 on TensorFlow, JAX and PyTorch.

    With g the gradient of a variable w, clipped if a clip is on, one step is::

        w = w - learning_rate * weight_decay * w                if weight_decay
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                             if centered, else a = 0
        m = momentum * m + learning_rate * g / sqrt(v - a**2 + epsilon)
        w = w - m

    It replaces `keras.optimizers.RMSprop` everywhere: in `compile`, custom loops, callbacks, distributions, and files
    in both directions. The two differ in the moving average of the weights: here it starts at the initial weights and
    overwrites them every 100 steps, as in Keras 2.

    On the CPU our own kernels do the step: in place with torch, as an operation within TensorFlow's graph, as a call
    within XLA's on JAX where that has one device. Elsewhere the same rule is traced into the backend's operations.

    A subclass may override `apply`, through which each step passes: `apply_gradients` calls it, and so does
    `stateless_apply`, which `fit` calls on JAX. It may override these two, `build`, `finalize_variable_values`,
    `scale_loss`, `get_config` and `from_config`, and may have arguments of its own. `update_step` is never called: a
    step moves all variables at once. Decorate it with `keras.saving.register_keras_serializable`, so that models which
    hold it can be loaded.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule` of Keras or of `rmsprop.schedules`, or a function of
            nothing or of the step (int from 0), which is called at every step. It is rounded to Keras's `floatx`.
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
        jit_compile: whether XLA compiles what our own kernels do not do where steps are not traced: on JAX, and on
            TensorFlow if there is a GPU. With torch, False runs the rule by plain operations.
        name: stands in the config, and is the scope of the state's names; None: Keras makes one.
        loss_scale_factor: what `scale_loss` multiplies a loss by, > 0; gradients are divided by it.
        gradient_accumulation_steps: how many calls (>= 2) make one step, of the mean of their gradients; nothing moves
            in the others. A variable without a gradient in a call has no part in it. `iterations` and averages count
            steps; schedules see the number of calls, as in Keras.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the variable's.
        native: whether our own kernels may do the step; False is for a train step that is exported. None: the
            environment variable ``RMSPROP_NATIVE`` decides, 1 (the default) or 0.

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
        `keras.optimizers.RMSprop` <https://keras.io/api/optimizers/rmsprop/>; T. Tieleman and G. Hinton,
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
        given = locals() | {"name": type(self).__name__ if name is None else name}
        self._lock = False  # Keras's sign that attributes may be set
        self._native, self._options = check_native(native), self._options_of(given)
        super().__init__(
            self._options.learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name,
        )  # fmt: skip

    @property
    def loss_scale_factor(self) -> float | None:
        """What `scale_loss` multiplies a loss by, and gradients are divided by; None: 1.

        Raises:
            TypeError: something that is no number was assigned.
            ValueError: a number was assigned that is not above 0 and finite.
        """
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        """Assign a number > 0, or None."""
        checked = None if value is None else check_number("loss_scale_factor", value, zero=False)
        self._forget()
        self._loss_scale_factor = checked

    @property
    def gradient_accumulation_steps(self) -> int | None:
        """How many calls make one step, of the mean of their gradients; None: each is one.

        Raises:
            TypeError: something was assigned that is no whole number or None.
            ValueError: a number below 2 was assigned, or None and a number were exchanged after the state was built.
        """
        return self._gradient_accumulation_steps

    @gradient_accumulation_steps.setter
    def gradient_accumulation_steps(self, value: int | None) -> None:
        """Assign a whole number >= 2, or None; one does not replace the other once the state is built."""
        name = "gradient_accumulation_steps"
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"{name}={value!r} is not a whole number or None")
        if value is not None and value < 2:
            raise ValueError(f"{name}={value!r} is not a whole number of at least 2, or None")
        if self._state is not None and (value is None) != (self._gradient_accumulation_steps is None):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        self._forget()
        self._gradient_accumulation_steps = None if value is None else int(value)

    @_untraced
    def _explain(self, var_list: Sequence[Any] | None) -> Explanation:
        return super()._explain(var_list)

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
            try:
                self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
            except TypeError as error:
                refuse_swapped(pairs, is_swapped, error)
                raise
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
            variables: Sequence[Any] = self._trainable_variables
        else:
            variables = as_list(names[1], trainable_variables)
        try:
            self.build(variables)
            if self._state is not None and self._state.follows:
                self._state.leave(self._count)
            steps = self._steps
            if steps is None:
                steps = self._steps = Steps(self._settings())
            batch = steps.find(gradients, variables, self._numbers)
        except TypeError as error:
            refuse_swapped(zip(gradients, variables, strict=False), is_swapped, error, names)
            raise
        if batch.overwritten:
            self._overwrite_variables_directly_with_gradients(
                [gradients[place] for place, _ in batch.overwritten], [variable for _, variable in batch.overwritten]
            )
        steps.step(batch, gradients, lambda: self.learning_rate)
