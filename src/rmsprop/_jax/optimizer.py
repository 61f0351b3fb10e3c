"""RMSprop as an optimizer that steps trees of parameters."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import jax
import jax.numpy as jnp

from rmsprop._core.explain import Explanation
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.rates import LearningRate
from rmsprop._core.saving.matching import plain_names
from rmsprop._core.switches import against_native, check_native
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.exclusion import Exclusion
from rmsprop._jax.files import Saved
from rmsprop._jax.rate import Rated, first_rate, rate_of
from rmsprop._jax.state import RMSpropState, check_slot_dtype, check_state, slots_of, start
from rmsprop._jax.stepping import step
from rmsprop._jax.trees import is_traced, parameters, rebuild, strong, templates


@final
class RMSprop(Rated, Saved):
    """RMSprop as Keras 2 defines it, for trees of JAX arrays.

    One step of a parameter w with the gradient g, which is clipped first if a clip is on::

        w = w - learning_rate * weight_decay * w
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                    # 0 unless centered
        m = momentum * m + learning_rate * g / sqrt(v - a**2 + epsilon)
        w = w - m

    Epsilon stands inside the root and the learning rate inside the momentum.

    All that changes is in the state, an argument and a result of every step: methods are pure functions, for `jax.jit`,
    `jax.vmap`, `jax.lax.scan`, `jax.grad` and `jax.shard_map`. Called on arrays, a step is compiled once and then runs.
    ``jax.jit(optimizer.apply_gradients, donate_argnums=(1, 2))`` steps in place: the new parameters and the new state
    get the memory of the old ones.

    **The learning rate**, if a number, is a leaf of the state, so that another one compiles nothing:
    ``state = optimizer.set_learning_rate(state, 0.01)``, and ``optimizer.rate(state)`` is that of the next step.

    Parameters come back with a type of their own. One of a weak type, as ``jnp.asarray(10.0)`` is, makes your own
    `jax.jit` compile a second time; ``jnp.float32(10.0)`` does not.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule`, a schedule of optax, or another function of the step; a
            function without arguments is called at every step, which may not be traced then.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: 0 to 1; 0 keeps no momentum.
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient gives NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient; None, as in the next two, is off.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips. Norms
            are taken in float64 where JAX is set up for it, else in float32.
        use_ema: keep an exponential moving average of each parameter, starting at its initial value. By default it
            overwrites the parameter every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the parameters become their averages; None: a passive
            average, written only by `finalize_variable_values`.
        jit_compile: True compiles what is not traced already; False does it by one operation of JAX after the other.
        name: kept in the config.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the parameter's.
        native: False: XLA compiles the step, without our kernels. None: the environment variable ``RMSPROP_NATIVE``
            decides when the optimizer is made, 1 (the default) or 0. True: whatever that says.
        axis_name: within `jax.shard_map`, the mesh axes over which parameters are sharded: norms are summed over them.
            ``()``: the norm of each device's part on its own.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, or two clips were given.

    Example:
        >>> import jax.numpy as jnp
        >>> from rmsprop.jax import RMSprop
        >>> optimizer, params = RMSprop(learning_rate=0.1), {"w": jnp.array(10.0)}
        >>> state = optimizer.init(params)
        >>> params, state, loss = optimizer.minimize(lambda params: params["w"] ** 2 / 2, params, state)
        >>> print(loss, params["w"])
        50.0 9.683772

    References:
        `tf_keras.optimizers.RMSprop`
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    @refuses_other_words
    def __init__(
        self, learning_rate: LearningRate | jax.Array = 0.001, rho: float = 0.9, momentum: float = 0.0,
        epsilon: float = 1e-7, centered: bool = False, weight_decay: float | None = None,
        clipnorm: float | None = None, clipvalue: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = 100,
        jit_compile: bool = True, name: str = "RMSprop", *, initial_velocity: float = 0.0,
        slot_dtype: str | None = None, native: bool | None = None, axis_name: str | Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        given: tuple[Any, ...] = (
            learning_rate, rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity, slot_dtype, axis_name,
        )  # fmt: skip
        self._options = ArrayOptions(*given)
        self._native = check_native(native)
        #: Why the user wants no native steps; "" if there is no reason.
        self._off = against_native(native)
        self._exclusion = Exclusion()
        self._built = self._was_traced = self._is_assigned = False
        self._replaced = self._compiled = self._compiled_rate = None

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave parameters out of weight decay; a second call replaces the first.

        Args:
            var_list: arrays, which are looked for among those that `init` is given.
            var_names: regular expressions, searched in the parameters' names: their key paths joined by slashes, as
                "encoder/layers/0/bias". `init`, or the first step, warns of one that is found in no name.

        Raises:
            TypeError: `var_list` is one array, or `var_names` one string.
            ValueError: `init` or a step came before, or a name is not a regular expression. At `init`: an array of
                `var_list` is not among the parameters.
        """
        if self._built:
            raise ValueError("exclude_from_weight_decay comes before init() and before the first step")
        # A step may have been compiled and then refused.
        vars(self).update(_exclusion=Exclusion(var_list, var_names), _compiled=None)

    def explain(self, params: Any, *, devices: Sequence[jax.Device] | None = None) -> Explanation:
        """Explain a step: whether our kernels do it, and if not, why.

        Gradients are taken to be dense and of the parameters' types. A step that is exported, differentiated or mapped
        by `jax.vmap` is traced in any case. Nothing is compiled; Numba is loaded, which takes a moment.

        Args:
            params: the parameters, or `jax.ShapeDtypeStruct` in their places. They may be traced: within a
                `jax.shard_map` the explanation is that of a step there.
            devices: for which a step is compiled; None: all that the process has. One CPU among several devices of a
                process is not enough, because under `jax.jit` nothing shows on which of them arrays are.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`. Parameters have the names of their key paths
            joined by slashes.

        Raises:
            TypeError: a parameter is no array of a float type.
            ValueError: there is no parameter, or no device, or `slot_dtype` is float64, which JAX does not have as it
                is set up.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> from rmsprop.jax import RMSprop
            >>> params = {"kernel": jax.ShapeDtypeStruct((3, 4), jnp.float32), "bias": jnp.zeros(4)}
            >>> print(RMSprop(momentum=0.9, jit_compile=False).explain(params))
            variable  shape  type     state               way     bytes  why not faster
            bias      4      float32  velocity, momentum  traced    112  jit_compile=False
            kernel    3 x 4  float32  velocity, momentum  traced    336  jit_compile=False
            2 variables in jax, 0 launches, 448 bytes a step
        """
        from rmsprop._jax.explaining import explain

        check_slot_dtype(self._options)
        names, arrays, _ = parameters(params, describes=True)
        if devices is not None and not devices:
            raise ValueError(f"devices={devices!r} holds no device")
        if not arrays:
            raise ValueError("params holds no parameter")
        decays = self._exclusion.decayed(self._options, names)
        return explain("jax", self._options, plain_names(names), arrays, decays, off=self._off, devices=devices)

    def init(self, params: Any) -> RMSpropState:
        """Return the state for parameters, before the first step.

        Args:
            params: any tree of arrays of float16, bfloat16, float32 or float64. What stands for no array, like None,
                is left out. A `jax.ShapeDtypeStruct` stands for zeros: the state is a template to restore into then.

        Raises:
            TypeError: a parameter is not such an array.
            ValueError: `exclude_from_weight_decay` named an array that is not there, or `slot_dtype` is float64, which
                JAX does not have as it is set up.
        """
        leaves = parameters(templates(params))
        self._exclusion.find(params, leaves)
        self._exclusion.check(leaves.names)
        made = start(self._options, leaves, first_rate(self._options))
        # On the line that returns: an interrupt before it leaves the mark, after it the state.
        return (made, vars(self).update(_built=True, _is_assigned=False))[0]

    def apply_gradients(self, grads: Any, params: Any, state: RMSpropState) -> tuple[Any, RMSpropState]:
        """Do one step.

        Args:
            grads: a tree like `params`, of arrays of any of the four float types and `RowSparse`. Where it holds None,
                the parameter and its state stay as they are, with a warning when that is traced.
            params: the parameters; these arrays do not change.
            state: what `init` or a step returned.

        Returns:
            The new parameters and the new state.

        Raises:
            TypeError: a parameter or gradient is not of a float type, `state` is no state, a state is in the place of
                `params` or `grads`, or the step is being traced and the learning rate a function without arguments.
            ValueError: trees or shapes differ, the state was made with other options, or all gradients are None. A
                learning rate from a function is below 0 or not finite: as far as can be seen, if it is being traced.
            RuntimeError: the step is being traced, and `learning_rate` was assigned after `init`.
        """
        check_state(state, "apply_gradients", grads=grads, params=params)
        if not self._built:
            self._exclusion.check(parameters(params).names)
        if is_traced((grads, params, state)):
            self._check_traceable()
            new = self._step(grads, params, state)
            self._built = self._was_traced = True
            return new
        step = self._step
        if self._options.jit_compile:
            self._check_schedule(state.iterations)
            if self._compiled is None:
                self._compiled = jax.jit(self._step)
            step = self._compiled
        new = step(grads, jax.tree_util.tree_map(strong, params), self._with_rate(state))
        if self._is_assigned or not self._built:
            replaced = state.rate if self._is_assigned else self._replaced
            vars(self).update(_built=True, _is_assigned=False, _replaced=replaced)
        return new

    def _step(self, grads: Any, params: Any, state: RMSpropState) -> tuple[Any, RMSpropState]:
        leaves, options = parameters(params), self._options
        found = rate_of(options, state)
        decays = self._exclusion.decayed(options, leaves.names)
        values, state = step(options, grads, leaves, state, decays, learning_rate=found, native=not self._off)
        pairs = zip(values, leaves.values, strict=True)
        return rebuild(leaves, [old if new is None else new for new, old in pairs]), state

    def minimize(
        self, loss: Callable[..., Any], params: Any, state: RMSpropState, *args: Any, has_aux: bool = False
    ) -> tuple[Any, RMSpropState, Any]:
        """Compute a loss and its gradients, and do one step.

        Args:
            loss: a function of `params` and `args`.
            params: the parameters.
            state: what `init` or a step returned.
            *args: handed on to `loss`.
            has_aux: whether `loss` returns a pair of which only the first is the loss.

        Returns:
            The new parameters, the new state, and what `loss` returned: before the step.

        Raises:
            TypeError: `loss` is not a function. Otherwise as `apply_gradients`.
        """
        if not callable(loss):
            raise TypeError(f"loss={loss!r} is not a function; pass one of the parameters")
        check_state(state, "minimize", params=params)
        parameters(params)
        value, grads = jax.value_and_grad(loss, has_aux=has_aux)(params, *args)
        return (*self.apply_gradients(grads, params, state), value)

    def finalize_variable_values(self, params: Any, state: RMSpropState) -> Any:
        """Return the averages in place of the parameters; without `use_ema`, the parameters.

        Args:
            params: the parameters.
            state: what `init` or a step returned.

        Raises:
            TypeError: `state` is no state, or a state is in the place of `params`.
            ValueError: the state was made with other options or for other parameters.
        """
        check_state(state, "finalize_variable_values", params=params)
        leaves = parameters(params)
        slots = slots_of(self._options, state, leaves)
        if not self._options.use_ema:
            return params
        pairs = zip(slots, leaves.values, strict=True)
        return rebuild(leaves, [jnp.array(one["average"], old.dtype, copy=True) for one, old in pairs])
