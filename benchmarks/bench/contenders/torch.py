"""RMSprop in PyTorch: ours, torch's own, and those of other packages, on the CPU or a CUDA device.

`torch.optim.RMSprop` is another algorithm, but the same work. It has epsilon outside of the root, the learning rate
outside of the momentum, and weight decay in the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, final

from bench.frameworks import load, quietly, torch_to_compile
from bench.models import Array, Task

#: Returns an optimizer, from parameters, the task's options, and arguments that choose the implementation.
MakeOptimizer = Callable[..., Any]


class _OnTensors:
    """Parameters on the task's device, with their gradients."""

    def __init__(self, task: Task) -> None:
        torch = load("torch")
        self._parameters = [torch.nn.Parameter(torch.tensor(array, device=task.device)) for array in task.variables]
        for parameter, gradient in zip(self._parameters, task.gradients, strict=True):
            parameter.grad = torch.tensor(gradient, device=task.device)

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return [parameter.detach().cpu().numpy() for parameter in self._parameters]


@final
class Ours(_OnTensors):
    """`rmsprop.torch.RMSprop`, which clips and averages itself."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._optimizer = load("rmsprop.torch").RMSprop(self._parameters, **task.options)

    def step(self) -> object:
        """Do the steps of one call."""
        return self._optimizer.step()


def make_torchs(parameters: list[Any], options: dict[str, Any], **way: bool) -> Any:
    """Make a `torch.optim.RMSprop`; `way` chooses the implementation, as ``foreach=False``."""
    return load("torch").optim.RMSprop(parameters, **settings(options), **way)


def make_timms(parameters: list[Any], options: dict[str, Any]) -> Any:
    """Make a `timm.optim.RMSpropTF`: our rule, but for a velocity that starts at 1."""
    return load("timm.optim").RMSpropTF(parameters, **settings(options), decoupled_decay=True)


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return a task's options under torch's names."""
    found = {"lr": 0.001, "alpha": 0.9, "eps": 1e-7}
    off = {"momentum": 0.0, "centered": False, "weight_decay": 0.0}
    return found | {name: options.get(name, default) for name, default in off.items()}


def make_bitsandbytes(parameters: list[Any], options: dict[str, Any]) -> Any:
    """Make a `bitsandbytes.optim.RMSprop` with state in 32 bits, which is torch's rule without momentum."""
    assert not options
    return load("bitsandbytes.optim").RMSprop(parameters, lr=0.001, alpha=0.9, eps=1e-7)


class Torch(_OnTensors):
    """An optimizer, `clip_grad_norm_`, and the averages of `torch.optim.swa_utils`.

    Args:
        way: which implementation, ``foreach=False`` or ``foreach=True`` or ``fused=True``.
        task: the job.
        make_optimizer: whose optimizer.
    """

    def __init__(self, way: dict[str, bool], task: Task, make_optimizer: MakeOptimizer = make_torchs) -> None:
        super().__init__(task)
        torch, options = load("torch"), task.options
        self._optimizer = make_optimizer(self._parameters, options, **way)
        self._clip: Callable[[], object] | None = None
        if (limit := options.get("global_clipnorm")) is not None:
            foreach = way.get("foreach", True)
            self._clip = partial(torch.nn.utils.clip_grad_norm_, self._parameters, limit, foreach=foreach)
        self._averages = _TorchAverages(self._parameters, options, way) if options.get("use_ema") else None

    def step(self) -> object:
        """Do the steps of one call."""
        self._move()
        if self._averages:
            self._averages.overwrite()
        return None

    def _move(self) -> None:
        """Do all but what some steps do alone."""
        if self._clip:
            self._clip()
        self._optimizer.step()
        if self._averages:
            self._averages.update()


@final
class Compiled(Torch):
    """`torch.optim.RMSprop` within `torch.compile`, with clip and averages: one function of fused loops."""

    def __init__(self, task: Task) -> None:
        super().__init__({"foreach": True}, task)
        self._function: Callable[[], object] = self._compile

    def _compile(self) -> None:
        torch = torch_to_compile()
        with quietly():
            function = torch.compile(super()._move)
            function()
        self._function = function

    def _move(self) -> None:
        self._function()


@final
class _TorchAverages:
    """Exponential moving averages as `AveragedModel.update_parameters` computes them, and the overwriting.

    Attributes:
        averages: one a parameter.
    """

    def __init__(self, parameters: list[Any], options: dict[str, Any], way: dict[str, bool]) -> None:
        torch, tools = load("torch"), load("torch.optim.swa_utils")
        self._no_grad = torch.no_grad
        self._parameters, self.averages = parameters, [one.detach().clone() for one in parameters]
        self._every, self._steps = options["ema_overwrite_frequency"], 0
        at_once = tools.get_ema_multi_avg_fn(0.99)
        one_by_one = tools.get_ema_avg_fn(0.99)
        self._rule = at_once if way.get("foreach", True) else partial(_one_by_one, one_by_one)

    def update(self) -> None:
        with self._no_grad():
            self._rule(self.averages, self._parameters, None)

    def overwrite(self) -> None:
        self._steps += 1
        if self._steps % self._every == 0:
            with self._no_grad():
                for parameter, average in zip(self._parameters, self.averages, strict=True):
                    parameter.copy_(average)


def _one_by_one(rule: Callable[..., Any], averages: list[Any], parameters: list[Any], count: None) -> None:
    for average, parameter in zip(averages, parameters, strict=True):
        average.copy_(rule(average, parameter, count))
