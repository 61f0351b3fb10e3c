"""RMSprop for NumPy arrays, updated in place."""

from collections.abc import Callable, Iterable
from typing import Any, final

import numpy

from rmsprop._core import versions
from rmsprop._core.checks import check_iterations
from rmsprop._core.explain import Explanation
from rmsprop._core.modes import exact, flushes
from rmsprop._core.options import Options, refuse_attribute, with_rate
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.pairs import check_pairs, refuse_swapped
from rmsprop._core.rates import LearningRate, rate_function
from rmsprop._core.switches import check_native
from rmsprop._numpy.build import Exclusion, built, explain, start
from rmsprop._numpy.saved import Saved
from rmsprop._numpy.state import State
from rmsprop._numpy.variables import Array, Collection, Gradient, compute_pairs, is_swapped

versions.check("rmsprop", "numpy")

__all__ = ["RMSprop"]

_assign = object.__setattr__


@final
class RMSprop(Saved):
    """RMSprop as Keras 2 defines it, for NumPy arrays.

    One step of a variable w with the gradient g, which is clipped first if a clip is on::

        w = w - learning_rate * weight_decay * w
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                    # 0 unless centered
        m = momentum * m + learning_rate * g / sqrt(v - a**2 + epsilon)
        w = w - m

    Epsilon stands inside the root and the learning rate inside the momentum, unlike in torch.

    Only one thread at a time may step an optimizer; different optimizers may step at once. Only `learning_rate` and
    `iterations` may be assigned later: any other attribute raises an AttributeError.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule`, or a function of the step (int from 0) or of nothing.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: 0 to 1; 0 has no momentum slot.
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient makes NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient; None, as in the next two, is off.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips.
        use_ema: average each variable exponentially, starting at its initial value. By default the average overwrites
            the variable every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the variables become their averages; None: a passive
            average, written only by `finalize_variable_values`.
        jit_compile: True runs one compiled kernel; False the same rule in plain NumPy, with the same bits.
        name: an entry of the config.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the variable's.
        native: False is the same step as ``jit_compile=False``; None follows the environment variable
            ``RMSPROP_NATIVE``, 1 (the default) or 0; True overrides it.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, or two clips were given.

    Example:
        >>> import numpy as np
        >>> from rmsprop import RMSprop
        >>> w = np.array(10.0)
        >>> optimizer = RMSprop(learning_rate=0.1)
        >>> loss = optimizer.minimize(lambda: (w**2 / 2, [w]), [w])
        >>> print(loss, w.round(6))
        50.0 9.683772

    References:
        `tf_keras.optimizers.RMSprop`
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    @refuses_other_words
    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        centered: bool = False, weight_decay: float | None = None, clipnorm: float | None = None,
        clipvalue: float | None = None, global_clipnorm: float | None = None, use_ema: bool = False,
        ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = 100, jit_compile: bool = True,
        name: str = "RMSprop", *, initial_velocity: float = 0.0, slot_dtype: str | None = None,
        native: bool | None = None,
    ) -> None:  # fmt: skip
        self._options = Options(
            learning_rate, rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity, slot_dtype,
        )  # fmt: skip
        self._native = check_native(native)
        self._rate = rate_function(self._options.learning_rate)
        self._iterations = 0
        self._state: State | None = None
        self._exclusion = Exclusion()

    def __setattr__(self, name: str, value: Any) -> None:
        # Attributes of the class refuse by themselves, or may be assigned; any other would never be read.
        if name[:1] != "_" and not hasattr(RMSprop, name):
            refuse_attribute("rmsprop.RMSprop", name, value)
            raise AttributeError(
                f"rmsprop.RMSprop has no attribute {name!r} to set to {value!r}: learning_rate and iterations are what "
                "may be assigned"
            )
        _assign(self, name, value)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; assign a number or a schedule. Reading it calls a schedule or function.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned, or came from a function.
        """
        return self._rate(self._iterations)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        """Assign a number >= 0, a schedule or a function; where a schedule rules, no number."""
        options = with_rate(self._options, value)
        # At once: an interrupt in between would leave the old rate with the new options.
        self.__dict__.update(_options=options, _rate=rate_function(options.learning_rate))

    @property
    def iterations(self) -> int:
        """How many steps are done; assign a whole number from 0 to 2**63 - 1 to go on from there.

        Raises:
            ValueError: something else was assigned.
        """
        return self._iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        """Assign a whole number from 0 to 2**63 - 1 to go on from there."""
        self._iterations = check_iterations(value)

    @property
    def variables(self) -> dict[str, Array]:
        """The state by name: "iterations", then "<slot>/<variable>", in tf_keras's order; the arrays are live."""
        found: dict[str, Array] = {"iterations": numpy.array(self._iterations, numpy.int64)}
        return found | (self._state.tensors() if self._state else {})

    def build(self, variables: Collection) -> None:
        """Make the state for all variables; the first step does it for those it gets.

        Args:
            variables: a list of arrays, or a mapping of names to arrays: float16, bfloat16 (from ml_dtypes), float32 or
                float64, of any shape and strides, which steps update in place. A second call with the same variables
                does nothing.

        Raises:
            TypeError: a variable is not such an array.
            ValueError: a variable is read-only or shares memory, or the optimizer was built for others.
        """
        if self._state is None:
            self._state = self._start(variables)
        else:
            self._state.check_same(variables)

    def _start(self, variables: Collection) -> State:
        return start(self._options, self._native, self._exclusion, variables)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Array] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay; a second call replaces the first.

        Args:
            var_list: arrays.
            var_names: regular expressions, searched in the variables' names. At build, one that is found in no name
                warns.

        Raises:
            TypeError: `var_list` is one array, or `var_names` one string.
            ValueError: the state is built already, or a name is not a regular expression. At build: an array of
                `var_list` is not among the variables.
        """
        if self._state is not None:
            raise ValueError("exclude_from_weight_decay comes before build() and before the first step")
        self._exclusion = Exclusion(var_list, var_names)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Gradient, Array]]) -> int:
        """Do one step.

        Args:
            grads_and_vars: pairs of a gradient and its variable, as from ``zip(gradients, variables)``. A gradient is
                an array of the variable's shape and any of the four float types, a `RowSparse`, or None, which leaves
                the variable and its state as they are and warns. It may be the variable's own array. No pair:
                nothing happens.

        Returns:
            The number of steps done, this one included.

        Raises:
            TypeError: a gradient or variable is not of a float type, or there is something that is no pair.
            ValueError: a shape differs, a variable is unknown, given twice or has become read-only, all gradients are
                None, or `build` would refuse the variables. Nothing has changed then. (Ctrl-C within a step may leave a
                part of it done, not counted, with the state that belongs to it; so may a lack of memory with
                ``jit_compile=False``, whose temporaries are as large as a variable.)
        """
        pairs = list(grads_and_vars)
        check_pairs(pairs)
        if pairs:
            try:
                self._step(pairs)
            except (TypeError, ValueError) as error:
                refuse_swapped(pairs, is_swapped(self._state), error)
                raise
        return self._iterations

    def _step(self, pairs: list[tuple[Gradient, Array]], variables: Collection | None = None) -> None:
        if flushes():
            with exact():
                self._step(pairs, variables)
            return
        done, state = self._iterations, self._state
        rate = self._rate(done)  # first: it may be a function of the user's
        found = None if state is None else state.engine.usual(pairs)
        if found is None:
            state = state or self._start([one for _, one in pairs] if variables is None else variables)
            found = state.engine.prepare(state.variables.match(pairs), pairs)
        run, _held = found
        run.set_rate_and_factor(0, rate)
        # Assigned only now: a refused first step leaves the optimizer free to be built, and one that is interrupted
        # while it writes leaves the state of what it has written.
        if self._state is None:
            self._state = state
        run.execute(done)
        # Past `__setattr__`, which would be a good part of a small step.
        _assign(self, "_iterations", done + 1)

    def minimize(self, loss: Callable[[], tuple[Any, Any]], variables: Collection) -> Any:
        """Compute a loss and its gradients, and do one step.

        Args:
            loss: a function of nothing that returns ``(value, gradients)``: a list in the order of `variables`, or a
                mapping of names if they are one.
            variables: as for `build`.

        Returns:
            The value from `loss`, before the step.

        Raises:
            TypeError: `loss` is not such a function.
            ValueError: there are more or fewer gradients than variables. Otherwise as `apply_gradients`.
        """
        value, pairs, named = compute_pairs(loss, variables)
        self._step(pairs, named)
        return value

    def explain(self, variables: Collection | None = None) -> Explanation:
        """Explain a step: for each variable whether a kernel does it, and if not, why.

        Gradients are assumed to be dense, with the variables' types and strides. Nothing is built or compiled; Numba is
        loaded.

        Args:
            variables: before `build`, the same argument; later a part of its variables, or None: all of them.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`.

        Raises:
            TypeError: a variable is not an array for `build`.
            ValueError: `variables` is None before `build`, or has a variable that `build` refuses or did not get.

        Example:
            >>> import numpy as np
            >>> from rmsprop import RMSprop
            >>> print(RMSprop(momentum=0.9, jit_compile=False).explain({"kernel": np.ones((3, 4)), "bias": np.ones(4)}))
            variable  shape  type     state               way    bytes  why not faster
            kernel    3 x 4  float64  velocity, momentum  plain    672  jit_compile=False
            bias      4      float64  velocity, momentum  plain    224  jit_compile=False
            2 variables in numpy, 0 launches, 896 bytes a step
        """
        return explain(self._state, self._options, self._native, self._exclusion, variables)

    def finalize_variable_values(self, variables: Collection | None = None) -> None:
        """Write the averages into the variables; without `use_ema` nothing happens.

        Args:
            variables: which; None: all.

        Raises:
            ValueError: a variable is not one of the optimizer's, or the optimizer is not built.
        """
        if self._options.use_ema:
            built(self._state, "finalize_variable_values").finalize(variables)
