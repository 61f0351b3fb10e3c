"""RMSprop for PyTorch."""

from collections.abc import Callable
from typing import Any, Self, final, overload

from rmsprop._core import versions
from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.torch"):
    versions.check("rmsprop.torch", "torch")  # before modules import what an older version does not have

    import torch
    from torch import Tensor

from rmsprop._core.explain import Explanation
from rmsprop._core.other_words import refuses_other_words
from rmsprop._core.rates import LearningRate
from rmsprop._torch.arguments import check_torch_words, choose_rate, warn_of_tiny_momentum
from rmsprop._torch.base import Base
from rmsprop._torch.conversion import convert
from rmsprop._torch.groups import names_of
from rmsprop._torch.hooks import is_watched
from rmsprop._torch.import_order import warn_of_import_order

__all__ = ["RMSprop"]


@final
class RMSprop(Base):
    """RMSprop as Keras 2 defines it, for PyTorch.

    With g the gradient, clipped if a clip is on, lr the learning rate and d the weight decay, one step is::

        w = w - lr * d * w
        v = rho * v + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                                  (centered)
        m = momentum * m + lr * g / sqrt(v - a**2 + epsilon)
        w = w - m

    without a unless `centered`. Epsilon is inside the root and the learning rate inside the momentum, unlike in
    `torch.optim.RMSprop`: its settings do not carry over unchanged.

    It is a `torch.optim.Optimizer`: parameter groups, schedulers, hooks, state dicts and `GradScaler` work as with
    torch's own. Parameters are of float16, bfloat16, float32, float64, complex64 or complex128 (real and imaginary part
    are numbers of their own) and may have any strides; gradients may be sparse.

    Args:
        params: tensors, groups (dictionaries with ``"params"`` and any of the arguments from `learning_rate` to
            `slot_dtype`, and `maximize`, that shall differ), or `named_parameters()`.
        learning_rate: a number >= 0, a tensor of one, a `LearningRateSchedule`, or a function of the step (int from 0)
            or of nothing; None: 0.001. ``param_groups[i]["lr"]`` is the live value, which `torch.optim.lr_scheduler`
            sets; where a schedule of ours rules, that of the latest step.
        rho: decay of the average of squared gradients, 0 to 1.
        momentum: decay of m, 0 to 1; 0: no m, w = w - lr * g / sqrt(v - a**2 + epsilon).
        epsilon: added to the denominator under the root, >= 0. With 0 a zero gradient gives NaN.
        centered: divide by an estimate of the gradient's standard deviation instead of its root mean square.
        weight_decay: decoupled decay per step in units of the learning rate, >= 0; None or 0 is off.
        clipnorm: upper limit > 0 for the Euclidean norm of each gradient; None, as in the next two, is off.
        clipvalue: upper limit > 0 for the absolute value of each element.
        global_clipnorm: upper limit > 0 for the norm of all gradients together, of all groups that have such a limit.
            At most one of the three clips.
        use_ema: keep an exponential moving average of each parameter, starting at its value before its first step.
            By default it overwrites the parameter every 100 steps: see `ema_overwrite_frequency`.
        ema_momentum: decay of that average, 0 to 1.
        ema_overwrite_frequency: every so many steps (>= 1) the parameters become their averages; None: a passive
            average, written only by `finalize_variable_values`.
        jit_compile: True runs compiled kernels, on the CPU and on CUDA devices. False compiles nothing: the same rule
            in plain NumPy, with the same bits, and on CUDA devices by torch's operations.
        name: an attribute of the optimizer.
        lr: torch's name for `learning_rate`; one of the two.
        maximize: go up instead of down: negate the gradients.
        capturable: True or False, without effect; a step on a CUDA device can always be captured in a CUDA graph.
        foreach: None or False; there is one implementation.
        fused: True: the step undoes the scale of a `GradScaler` in the same pass, as torch's fused Adam does. None or
            False: `GradScaler` does that before the step, as with `torch.optim.RMSprop`.
        differentiable: False: a step cannot be differentiated.
        initial_velocity: start of v, >= 0; 1.0 is TensorFlow 1's.
        slot_dtype: type of the state, "float16", "bfloat16", "float32" or "float64"; None: the parameter's. Of
            complex parameters, the type of the parts.
        native: False: the step of ``jit_compile=False``. None: the environment variable ``RMSPROP_NATIVE`` decides, 1
            (the default) or 0. True: kernels where they can be, whatever the variable says. For all groups; not in a
            state dict.

    Raises:
        TypeError: an argument is of the wrong type, or unknown; the error names the right one.
        ValueError: a number is out of its range, two clips were given, `params` is empty, or ``RMSPROP_NATIVE`` is
            neither 0 nor 1.

    Warns:
        UserWarning: `momentum` is above 0 and below 1e-3, as where arguments are in the order of another optimizer.
        RuntimeWarning: TensorFlow was imported before Triton, which ends the process when torch imports Triton, with
            the first optimizer: `import triton` first.

    Example:
        >>> import torch
        >>> from rmsprop.torch import RMSprop
        >>> w = torch.nn.Parameter(torch.tensor(10.0))
        >>> optimizer = RMSprop([w], lr=0.1)
        >>> loss = optimizer.minimize(lambda: w**2 / 2)
        >>> print(loss.item(), w.item())
        50.0 9.683772087097168

    References:
        `tf_keras.optimizers.RMSprop`
        <https://www.tensorflow.org/api_docs/python/tf/keras/optimizers/RMSprop>; T. Tieleman and G. Hinton,
        Lecture 6.5, Coursera: Neural Networks for Machine Learning, 2012; centered: A. Graves, arXiv:1308.0850.
    """

    @refuses_other_words
    def __init__(
        self,
        params: Any,
        learning_rate: LearningRate | Tensor | None = None,
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
        lr: LearningRate | Tensor | None = None,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        differentiable: bool = False,
        initial_velocity: float = 0.0,
        slot_dtype: str | None = None,
        native: bool | None = None,
    ) -> None:
        check_torch_words(foreach, fused, capturable, differentiable, maximize)
        defaults = {
            "rho": rho, "momentum": momentum, "epsilon": epsilon, "centered": centered, "weight_decay": weight_decay,
            "clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm, "use_ema": use_ema,
            "ema_momentum": ema_momentum, "ema_overwrite_frequency": ema_overwrite_frequency,
            "initial_velocity": initial_velocity, "slot_dtype": slot_dtype, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "fused": fused, "differentiable": differentiable,
        }  # fmt: skip
        warn_of_import_order()
        super().__init__(params, choose_rate(learning_rate, lr), defaults, jit_compile, native, name)
        warn_of_tiny_momentum(momentum)

    @classmethod
    def from_optimizer(cls, other: torch.optim.Optimizer, **options: Any) -> Self:
        """Go on from another library's RMSprop: its groups, options, state and number of steps.

        The velocity is its average of squares, the average gradient is the same, and the momentum is lr times its
        buffer if the learning rate is not in the buffer. The steps of timm and Stable-Baselines3 then go on as they
        would have; torch's cannot, as its epsilon is outside the root: ours becomes its square.
        The state is copied; hooks stay with `other`, and a scheduler has to be made anew.

        Args:
            other: a `torch.optim.RMSprop`, timm's `RMSpropTF` or Stable-Baselines3's `RMSpropTFLike`; it is not
                changed, and both have the same parameters afterwards.
            **options: arguments of the constructor that replace options of `other`, for all groups.

        Returns:
            An optimizer for the same parameters.

        Warns:
            UserWarning: the differences from `other`, a line each.

        Raises:
            TypeError: `other` is of another class, or of one derived from these with a step of its own.
            ValueError: an option of `other` is out of range here, or is one that is refused here.

        Example:
            >>> import torch
            >>> from rmsprop.torch import RMSprop
            >>> w = torch.nn.Parameter(torch.tensor(10.0))
            >>> other = torch.optim.RMSprop([w], lr=0.1)
            >>> (w**2 / 2).backward()
            >>> other.step()
            >>> optimizer = RMSprop.from_optimizer(other, epsilon=1e-7)
            >>> optimizer.iterations, round(optimizer.state[w]["velocity"].item(), 4)
            (1, 1.0)

        References:
            `torch.optim.RMSprop` <https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html>;
            `timm.optim.RMSpropTF` <https://huggingface.co/docs/timm/reference/optimizers>.
        """
        found: Self = convert(cls, other, options)
        return found

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one step on all parameters that have a gradient; the others and their state stay as they are.

        Without any gradient nothing happens. A step that `GradScaler` skips does not count.

        Args:
            closure: computes the loss and the gradients anew, and returns the loss; called first.

        Returns:
            What `closure` returned.

        Raises:
            TypeError: an entry of a parameter group, a parameter or a gradient is of the wrong type.
            ValueError: a number is out of its range, or a shape differs. Nothing has changed then.
        """
        if torch.compiler.is_compiling():
            from rmsprop._torch.outside_compile import run_outside_compile

            loss: float | None = run_outside_compile(self._watched_step, closure)
            return loss
        return self._watched_step(closure) if is_watched(self) else self._step(closure)

    # Torch's own wrapper, for profilers and hooks, takes a third of a small model's step. This keeps torch from
    # wrapping `step`, which calls the wrapper where there is a profiler or a hook.
    step.hooked = True  # type: ignore[attr-defined]

    def _watched_step(self, closure: Callable[[], float] | None) -> float | None:
        step = _hooked_step if is_watched(self) else RMSprop._step
        loss: float | None = step(self) if closure is None else step(self, closure)
        return loss

    def _step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale, found_inf = self.__dict__.get("grad_scale"), self.__dict__.get("found_inf")
        self._stepper.step(self.param_groups, self.state, scale, found_inf, closure is None)
        return loss

    def minimize(self, loss: Tensor | Callable[[], Tensor]) -> Tensor:
        """Compute the gradients of a loss, and do one step.

        Args:
            loss: a tensor of one element that depends on the parameters, or a function of nothing that computes it.

        Returns:
            The loss, as it was before the step.

        Raises:
            TypeError: `loss` is neither, or an entry of a group, a parameter or a gradient is of the wrong type.
            ValueError: a number is out of its range, or a shape differs. No parameter has changed then.
        """
        if callable(loss) and not isinstance(loss, Tensor):
            with torch.enable_grad():
                loss = loss()
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss={loss!r} is neither a tensor nor a function that returns one")
        self.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.step()
        return loss

    def explain(self) -> Explanation:
        """Explain how a step goes: for each parameter whether a kernel does it, and if not, why.

        Gradients are assumed to be dense, with the parameters' types and strides. No step is needed before. Nothing is
        made or compiled; Numba is loaded, which takes a moment.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`. Where a parameter has no name, all have numbers.

        Raises:
            TypeError: an entry of a parameter group is of the wrong type.
            ValueError: a number in one is out of its range.

        Example:
            >>> import torch
            >>> from rmsprop.torch import RMSprop
            >>> layer = torch.nn.Linear(3, 4, device="meta")
            >>> print(RMSprop(layer.named_parameters(), momentum=0.9).explain())
            variable  shape  type     state               way     bytes  why not faster
            weight    4 x 3  float32  velocity, momentum  traced    336  on the device meta
            bias      4      float32  velocity, momentum  traced    112  on the device meta
            2 variables in torch, 0 launches, 448 bytes a step
        """
        from rmsprop._torch.explaining import explain

        groups = self._groups.of(self.param_groups)
        for group in groups:
            group.update()
        return explain("torch", names_of(groups), groups, self._groups.common.off)


#: A step with profiler and hooks.
_hooked_step = RMSprop.profile_hook_step(RMSprop._step)
