"""`torch.optim.RMSprop`: another algorithm, but the same work.

It has epsilon outside of the root, the learning rate outside of the momentum, and weight decay in the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, final

from rmsprop.cli.bench.frameworks import load
from rmsprop.cli.bench.models import Array, Task


@final
class Torch:
    """`torch.optim.RMSprop`, `clip_grad_norm_`, and the averages of `torch.optim.swa_utils`.

    Args:
        way: which implementation, ``foreach=False`` or ``foreach=True`` or ``fused=True``.
        task: the job.
    """

    def __init__(self, way: dict[str, bool], task: Task) -> None:
        torch, options = load("torch"), task.options
        self._parameters = [torch.nn.Parameter(torch.tensor(array)) for array in task.variables]
        for parameter, gradient in zip(self._parameters, task.gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        self._optimizer = torch.optim.RMSprop(
            self._parameters,
            lr=0.001,
            alpha=0.9,
            eps=1e-7,
            momentum=options.get("momentum", 0.0),
            centered=options.get("centered", False),
            weight_decay=options.get("weight_decay", 0.0),
            **way,
        )
        self._clip: Callable[[], object] | None = None
        if (limit := options.get("global_clipnorm")) is not None:
            foreach = way.get("foreach", True)
            self._clip = partial(torch.nn.utils.clip_grad_norm_, self._parameters, limit, foreach=foreach)
        self._averages = _TorchAverages(self._parameters, options, way) if options.get("use_ema") else None

    def step(self) -> object:
        """See `Contender`."""
        if self._clip:
            self._clip()
        self._optimizer.step()
        if self._averages:
            self._averages.update()
        return None

    def weights(self) -> list[Array]:
        """See `Contender`."""
        return [parameter.detach().numpy() for parameter in self._parameters]


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
            self._steps += 1
            if self._steps % self._every == 0:
                for parameter, average in zip(self._parameters, self.averages, strict=True):
                    parameter.copy_(average)


def _one_by_one(rule: Callable[..., Any], averages: list[Any], parameters: list[Any], count: None) -> None:
    for average, parameter in zip(averages, parameters, strict=True):
        average.copy_(rule(average, parameter, count))
