"""RMSprop as an optimizer that steps trees of parameters."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, Self, final

import jax
import jax.numpy as jnp

from rmsprop._core.explain import Explanation
from rmsprop._core.options import LearningRate, check_learning_rate, rate_function, refuse_attribute
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.saving.matching import plain_names
from rmsprop._core.switches import SWITCH, native_by_default
from rmsprop._jax import files
from rmsprop._jax.arguments import is_called_with_nothing, is_called_with_the_step, options_of
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.exclusion import Exclusion
from rmsprop._jax.state import RMSpropState, check_slot_dtype, check_state, slots_of, start
from rmsprop._jax.stepping import check_rate_of_step, rate_at, step
from rmsprop._jax.trees import parameters, rebuild, templates

#: What instances hold.
_OWN: Final = (
    "_options", "_native", "_exclusion", "_built", "_was_traced", "_is_assigned", "_replaced", "_compiled",
    "_compiled_rate",
)  # fmt: skip


@final
class RMSprop:
    r"""RMSprop as Keras 2 defines it, for trees of JAX arrays.

    With :math:`g` the gradient, clipped if a clip is on, and weight decay :math:`d` first taken off,
    :math:`w \leftarrow w - \mathrm{lr}\, d\, w`, one step is

    .. math::
        v &\leftarrow \rho v + (1 - \rho) g^2 \\
        \bar g &\leftarrow \rho \bar g + (1 - \rho) g && \text{(centered)} \\
        m &\leftarrow \mu m + \mathrm{lr}\, g / \sqrt{v - \bar g^2 + \epsilon} \\
        w &\leftarrow w - m

    without :math:`\bar g` unless `centered`. Epsilon stands inside the root and the learning rate inside the momentum.

    All that changes is in the state, which `init` makes and every step takes and returns: methods are pure functions of
    their arguments, for `jax.jit`, `jax.vmap`, `jax.lax.scan`, `jax.grad` and `jax.shard_map`. Called on arrays, a step
    is compiled once and then runs. ``jax.jit(optimizer.apply_gradients, donate_argnums=(1, 2))`` steps in place: the
    new parameters and the new state get the memory of the old ones.

    **The learning rate**, if a number, is a leaf of the state, so that another one compiles nothing:
    ``state = optimizer.set_learning_rate(state, 0.01)``, and ``optimizer.rate(state)`` is that of the next step.
    Assigning `learning_rate` sets what `init` starts with, and the next step that is not traced writes it into its
    state. A compiled step knows its arguments alone: once one was traced, assigning is an error.

    Parameters come back with a type of their own. One of a weak type, as ``jnp.asarray(10.0)`` is, makes your own
    `jax.jit` compile a second time; ``jnp.float32(10.0)`` does not.

    Args:
        learning_rate: a number >= 0, a `LearningRateSchedule`, a schedule of optax, or another function of the step; a
            function of nothing is called at every step, which may not be traced then.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: :math:`\mu`, 0 to 1; 0 keeps no momentum.
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient gives NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together. At most one of the three clips. Norms
            are taken in float64 where JAX is set up for it, else in float32.
        use_ema: keep an exponential moving average of each parameter, starting at its initial value. By default it
            overwrites the parameter every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the parameters become their averages; None: a passive
            average, written only by `finalize_variable_values`.
        jit_compile: True compiles what is not traced already; False does it by one operation of JAX's after the other.
        name: kept in the config.
        initial_velocity: start of :math:`v`, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the parameter's.
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
        `tf_keras.optimizers.RMSprop
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>`_; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    @refuses_other_words
    def __init__(
        self,
        learning_rate: LearningRate | jax.Array = 0.001,
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
        initial_velocity: float = 0.0,
        slot_dtype: str | None = None,
        axis_name: str | Sequence[str] | None = None,
    ) -> None:
        self._options = options_of(
            learning_rate, rho, momentum, epsilon, centered, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, jit_compile, name, initial_velocity, slot_dtype, axis_name,
        )  # fmt: skip
        self._native = native_by_default()
        self._exclusion = Exclusion()
        self._built = self._was_traced = self._is_assigned = False
        # The rate, as the object it is, of the state that the assigned one was written into: see `_with_rate`.
        self._replaced: Any = None
        self._compiled: Any = None
        self._compiled_rate: Any = None

    @property
    def learning_rate(self) -> Any:
        """The learning rate that `init` starts with: a number, a schedule or a function.

        It is the constructor's, or what was assigned since. `set_learning_rate` changes a state, not this;
        `rate(state)` is the number that the next step uses.

        Raises:
            RuntimeError: assigned after a step was traced.
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        return self._options.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        value, ruling = check_learning_rate(value), self._options.learning_rate
        if callable(ruling) and not callable(value):
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {ruling!r} rules: "
                "assign another schedule, or construct the optimizer with a number"
            )
        if self._was_traced:
            raise RuntimeError(
                f"learning_rate={value!r} would not reach the steps that were traced already: "
                "state = optimizer.set_learning_rate(state, value) does"
            )
        told = {"_options": replace(self._options, learning_rate=value), "_is_assigned": True}
        # At once: a mark without the rate, or a rate without the mark, would be what an interrupt leaves for good.
        vars(self).update(told | ({"_compiled": None, "_compiled_rate": None} if callable(value) else {}))

    def set_learning_rate(self, state: RMSpropState, value: Any) -> RMSpropState:
        """Give the state with another learning rate; nothing is compiled anew.

        Args:
            state: what `init` or a step returned.
            value: a number >= 0, or an array of one, also a traced one.

        Raises:
            TypeError: a schedule rules, or it is no number.
            ValueError: it is below 0 or not finite, as far as can be seen; or the state has none, since it was made
                where a schedule ruled.
        """
        if callable(self._options.learning_rate):
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {self._options.learning_rate!r} rules"
            )
        if state.rate is None:
            raise ValueError(
                f"learning_rate={value!r} cannot be set in a state without one: it was made where a schedule ruled"
            )
        replace(self._options, learning_rate=value)  # which checks it
        if callable(value):
            raise TypeError(f"learning_rate={value!r} is not a number")
        held = jnp.asarray(state.rate)
        given = jnp.array(value, held.dtype, copy=True)  # whose memory may be given away with the state
        return state._replace(rate=jnp.broadcast_to(given, held.shape))

    def rate(self, state: RMSpropState) -> jax.Array:
        """Give the learning rate of the next step, as an array without axes; a step that is traced can do it too.

        It is the number in the state, which `set_learning_rate` sets, or what the schedule or function gives for the
        steps that are done. A function of nothing is called.

        Args:
            state: what `init` or a step returned.

        Raises:
            TypeError: `state` is no state, or the learning rate is a function of nothing and `state` is being traced.
            ValueError: the state holds a number and a schedule rules, or the rate is below 0 or not finite, as far as
                can be seen.
            RuntimeError: `state` is being traced, and `learning_rate` was assigned after `init`.

        Example:
            >>> import jax.numpy as jnp
            >>> from rmsprop.jax import RMSprop
            >>> optimizer = RMSprop(learning_rate=0.5)
            >>> state = optimizer.set_learning_rate(optimizer.init(jnp.ones(3)), 0.25)
            >>> print(optimizer.rate(state), optimizer.learning_rate)
            0.25 0.5
        """
        check_state(state)
        if _is_traced(state):
            self._check_traceable()
        else:
            state = self._with_rate(state)
        rate = self._rate_of(state)
        check_rate_of_step(rate)
        return rate if isinstance(rate, jax.Array) else jnp.asarray(rate, jnp.result_type(float))

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave parameters out of weight decay; a second call replaces the first.

        Args:
            var_list: arrays, which are looked for among those that `init` is given.
            var_names: regular expressions, searched in the parameters' names: their key paths joined by slashes, as
                "encoder/layers/0/bias". One that is found in no name is warned of by `init`, or by the first step.

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
        """Tell how a step goes: whether our kernels do it, and if not, why.

        Gradients are taken to be dense and of the parameters' types. A step that is exported, differentiated or mapped
        by `jax.vmap` is traced in any case. Nothing is compiled; Numba is loaded, which takes a moment.

        Args:
            params: the parameters, or `jax.ShapeDtypeStruct` in their places. They may be traced: within a
                `jax.shard_map` this tells how a step goes there.
            devices: for which a step is compiled; None: all that the process has. One CPU among several devices of a
                process is not enough, because under `jax.jit` nothing tells on which of them arrays are.

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
        leaves = parameters(params, describes=True)
        if devices is not None and not devices:
            raise ValueError(f"devices={devices!r} holds no device")
        if not leaves.values:
            raise ValueError("params holds no parameter")
        decays = [self._options.decays and not self._exclusion.spares(name) for name in leaves.names]
        # It was read when the optimizer was made.
        off = "" if self._native else f"{SWITCH}=0"
        return explain("jax", self._options, plain_names(leaves.names), leaves.values, decays, off=off, devices=devices)

    def init(self, params: Any) -> RMSpropState:
        """Make the state for parameters.

        Args:
            params: any tree of arrays of float16, bfloat16, float32 or float64. What stands for no array, like None,
                is left out. A `jax.ShapeDtypeStruct` stands for zeros: what comes out is a template to restore into.

        Raises:
            TypeError: a parameter is not such an array.
            ValueError: `exclude_from_weight_decay` named an array that is not there, or `slot_dtype` is float64, which
                JAX does not have as it is set up.
        """
        leaves = parameters(templates(params))
        self._exclusion.find(params, leaves)
        self._exclusion.check(leaves)
        made = start(self._options, leaves, self._first_rate())
        # On the line that returns: an interrupt before it leaves the mark, after it the state.
        return (made, vars(self).update(_built=True, _is_assigned=False))[0]

    def _first_rate(self) -> jax.Array | None:
        rate = self._options.learning_rate
        if is_called_with_nothing(rate):
            rate = rate_function(rate)(0)
        # A copy in any case: memory of the state may be given away.
        return None if callable(rate) else jnp.array(rate, jnp.result_type(float), copy=True)

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
                `params` or `grads`, or the learning rate is a function of nothing and the step is being traced.
            ValueError: trees or shapes differ, the state was made with other options, or all gradients are None. A
                learning rate from a function is below 0 or not finite: as far as can be seen, if it is being traced.
            RuntimeError: the step is being traced, and `learning_rate` was assigned after `init`.
        """
        check_state(state, "apply_gradients", grads=grads, params=params)
        if not self._built:
            self._exclusion.check(parameters(params))
        if _is_traced((grads, params, state)):
            return self._traced(grads, params, state)
        if self._options.jit_compile and is_called_with_the_step(self._options.learning_rate):
            self._check_schedule(state.iterations)
        step = self._compile() if self._options.jit_compile else self._step
        new = step(grads, jax.tree_util.tree_map(_strong, params), self._with_rate(state))
        if self._is_assigned or not self._built:
            replaced = state.rate if self._is_assigned else self._replaced
            vars(self).update(_built=True, _is_assigned=False, _replaced=replaced)
        return new

    def _traced(self, grads: Any, params: Any, state: RMSpropState) -> tuple[Any, RMSpropState]:
        """Add a step to what is being traced."""
        self._check_traceable()
        new = self._step(grads, params, state)
        self._built = self._was_traced = True
        return new

    def _check_traceable(self) -> None:
        """Refuse a learning rate that would be read while a step is traced, and not when it runs."""
        if self._is_assigned:
            raise RuntimeError(
                f"learning_rate={self._options.learning_rate!r} was assigned after init(), which a step that is being "
                "traced cannot know of: state = optimizer.set_learning_rate(state, value)"
            )
        if is_called_with_nothing(self._options.learning_rate):
            raise TypeError(
                f"learning_rate={self._options.learning_rate!r} takes no step: it would be called when the step is "
                "traced, not when it runs. Use a function of the step, or set_learning_rate"
            )

    def _compile(self) -> Any:
        if self._compiled is None:
            self._compiled = jax.jit(self._step)
        return self._compiled

    def _check_schedule(self, iterations: Any) -> None:
        """Look at what a schedule gives, which nobody sees in a compiled step."""
        options = self._options

        def rate_of(iterations: Any) -> Any:
            rate = rate_at(options, iterations)
            check_rate_of_step(rate)
            return rate

        if self._compiled_rate is None:
            self._compiled_rate = jax.jit(rate_of)
        check_rate_of_step(self._compiled_rate(iterations))

    def _with_rate(self, state: RMSpropState) -> RMSpropState:
        """Give the state with a learning rate that was assigned, or comes from a function of nothing.

        Whoever comes again with the state that had the old rate, has not got the new state: the step was interrupted,
        or failed where results were waited for.
        """
        old = hasattr(state.rate, "dtype") and state.rate is self._replaced
        if not (self._is_assigned or old or is_called_with_nothing(self._options.learning_rate)):
            return state
        return state._replace(rate=self._first_rate())

    def _step(self, grads: Any, params: Any, state: RMSpropState) -> tuple[Any, RMSpropState]:
        leaves = parameters(params)
        rate = self._rate_of(state)
        decays = [self._options.decays and not self._exclusion.spares(name) for name in leaves.names]
        values, state = step(self._options, grads, leaves, state, decays, learning_rate=rate, native=self._native)
        pairs = zip(values, leaves.values, strict=True)
        return rebuild(leaves, [old if new is None else new for new, old in pairs]), state

    def _rate_of(self, state: RMSpropState) -> Any:
        """Give the learning rate of a step: the state's, or that of the options if the state has none."""
        rate = self._options.learning_rate
        if state.rate is not None and is_called_with_the_step(rate):
            raise ValueError(
                f"state.rate: the state holds one, but the schedule {rate!r} rules; it was made with other "
                "options. state._replace(rate=None) goes on with the schedule"
            )
        return rate_at(self._options, state.iterations) if state.rate is None else state.rate

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
        """Give the averages in place of the parameters; without `use_ema`, the parameters.

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

    def save(
        self,
        path: str | os.PathLike[str],
        params: Any,
        state: RMSpropState,
        *,
        variables: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write a state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Parameters have the names of their key paths joined by slashes, as "encoder/layers/0/bias".

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            params: the parameters.
            state: what `init` or a step returned.
            variables: whether to write the parameters too, so that file and model cannot fall apart.
            metadata: texts of your own to keep with it, which `rmsprop.checkpoint.read_metadata` returns.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `state` is no state or is being traced, `metadata` is no mapping, or holds something else than
                strings.
            ValueError: the state was made with other options or for other parameters, a part of an array is on a device
                of another process, or `metadata` uses a name that begins with ``rmsprop.`` or is longer than the format
                allows (100 MB).

        Example:
            >>> import tempfile, jax.numpy as jnp
            >>> from rmsprop.jax import RMSprop
            >>> params = {"w": jnp.zeros(3)}
            >>> optimizer, again = RMSprop(learning_rate=0.5), RMSprop()
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", params, optimizer.init(params))
            ...     state = again.load(f"{folder}/run", params)
            >>> print(again.rate(state))
            0.5
        """
        check_state(state, "save", params=params)
        if not _is_traced(state):
            state = self._with_rate(state)
        files.save(self._options, path, params, state, variables, metadata)

    def load(
        self,
        path: str | os.PathLike[str],
        params: Any,
        *,
        variables: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> Any:
        """Make a state from a file that `save` of any front end wrote.

        What is read: the state, the iterations, and the learning rate unless a schedule rules here. The options stay
        those of the constructor. State goes by the parameters' names, in any order, if the file has the same; by
        position if no name is in common and all shapes agree. Arrays are put on the devices on which `init` would have
        them.

        Args:
            path: the file.
            params: the parameters, or `jax.ShapeDtypeStruct` in their places.
            variables: whether to read the parameters too; the file must hold them.
            names: name in the file -> name here, for parameters that are called differently.

        Returns:
            The state; with `variables`, the pair of the parameters and the state.

        Warns:
            UserWarning: it goes by position, and the pairs are listed; or an option in the file is another than here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: a parameter is no array of a float type, or `names` is no mapping of strings.
            ValueError: the file is damaged, or it holds other names, shapes, types or slots than this optimizer needs,
                or groups of variables that differ in their options; the error lists the differences. Or a part of an
                array is on a device of another process.
        """
        params, state = files.load(self._options, path, params, variables, names, self.init)
        return (params, state) if variables else state

    def get_config(self) -> dict[str, Any]:
        """Give the arguments, as values that JSON can hold.

        Raises:
            ValueError: the learning rate is a plain function.
        """
        return self._options.get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from `get_config`'s result, or from one that another front end or tf_keras wrote.

        Args:
            config: the arguments.
            custom_objects: class name -> class of your own schedules.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        options = ArrayOptions.from_config(config, custom_objects)
        return cls(**{field.name: getattr(options, field.name) for field in fields(options)})

    if not TYPE_CHECKING:  # to which any attribute would be one

        def __getattr__(self, name: str) -> Any:
            """Say what `optax.chain` and its like were given, where they look for a transformation's method."""
            if hasattr(type(self), name):  # a property, which raises its own error once more
                return object.__getattribute__(self, name)
            advice = ": it is no transformation of optax, which rmsprop.jax.rmsprop(...) makes"
            said = f"rmsprop.jax.RMSprop has no attribute {name!r}{advice if name == 'update' else ''}"
            raise AttributeError(said, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Take no attribute that would be kept and never read."""
        if name != "learning_rate" and name not in _OWN:
            refuse_attribute("rmsprop.jax.RMSprop", name, value, "learning_rate is what may be assigned")
            raise AttributeError(
                f"rmsprop.jax.RMSprop has no attribute {name!r} to set to {value!r}: learning_rate may be assigned, "
                "options are given to the constructor"
            )
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # What was compiled belongs to this process.
        return self.__dict__ | {"_compiled": None, "_compiled_rate": None, "_replaced": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # What another version wrote may lack an entry.
        vars(self).update(vars(type(self)()) | dict(state))

    def __repr__(self) -> str:
        return f"RMSprop({', '.join(f'{key}={value!r}' for key, value in vars(self._options).items())})"


def _is_traced(trees: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree_util.tree_leaves(trees))


def _strong(leaf: Any) -> Any:
    """Give a number or an array a type of its own, which it keeps, so that the second step is the first one's."""
    if isinstance(leaf, jax.Array) and not leaf.weak_type:
        return leaf
    try:
        array = jnp.asarray(leaf)
    except TypeError:  # what it is, is said in the step
        return leaf
    return jax.lax.convert_element_type(array, array.dtype)
