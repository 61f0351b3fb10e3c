"""Who steps: `rmsprop` itself, and the optimizers that people use today.

Each peer does the whole job of a task - with clipping, averages and all, where the task has them - the way that its
framework's documentation shows. Torch's RMSprop is another algorithm (epsilon outside of the root, the learning rate
outside of the momentum, weight decay into the gradient), but the same work; tf_keras's gives the same numbers.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, final

from rmsprop.cli.bench.frameworks import load
from rmsprop.cli.bench.models import Array, Task


class Contender(Protocol):
    """An optimizer with its own copies of a task's tensors."""

    def step(self) -> object:
        """Do one step."""

    def weights(self) -> list[Array]:
        """Give the variables as they are now."""


@final
class Ours:
    """`rmsprop.RMSprop` on NumPy arrays."""

    def __init__(self, task: Task) -> None:
        from rmsprop import RMSprop

        self._variables = [array.copy() for array in task.variables]
        self._gradients = task.gradients
        self._optimizer = RMSprop(**task.options)
        self._optimizer.build(self._variables)

    def step(self) -> object:
        """See `Contender`."""
        return self._optimizer.apply_gradients(zip(self._gradients, self._variables, strict=True))

    def weights(self) -> list[Array]:
        """See `Contender`."""
        return self._variables


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


@final
class TfKeras:
    """`tf_keras.optimizers.RMSprop.apply_gradients` in a `tf.function`, on the CPU.

    The gradients are captured by the function rather than passed, which is cheaper: in a train step they would come
    from within it.
    """

    def __init__(self, task: Task) -> None:
        tensorflow, tf_keras = load("tensorflow"), load("tf_keras")
        with tensorflow.device("/CPU:0"):
            self._variables = [tensorflow.Variable(array) for array in task.variables]
            gradients = [tensorflow.constant(array) for array in task.gradients]
            optimizer = tf_keras.optimizers.RMSprop(**task.options)
            optimizer.build(self._variables)

        def step() -> None:
            optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

        self.step = tensorflow.function(step)

    def weights(self) -> list[Array]:
        """See `Contender`."""
        return [variable.numpy() for variable in self._variables]


class Peer(NamedTuple):
    """How to get at one kind of contender.

    Attributes:
        label: its name in full, for the report.
        modules: what must be installed.
        make: from a task to a contender.
        problem: why it cannot run although its modules are there, or None.
    """

    label: str
    modules: tuple[str, ...]
    make: Callable[[Task], Contender]
    problem: Callable[[], str | None] = lambda: None


def _torch_has(argument: str) -> str | None:
    torch = load("torch")
    if argument in inspect.signature(torch.optim.RMSprop).parameters:
        return None
    return f"torch {torch.__version__} has no {argument} RMSprop"


def _torch(name: str, argument: str, value: bool) -> Peer:
    make = partial(Torch, {argument: value})
    return Peer(f"torch.optim.RMSprop, {name}", ("torch",), make, partial(_torch_has, argument))


OURS: Final = "rmsprop"

#: What `rmsprop bench` measures, by front end.
FRONTENDS: Final[dict[str, Callable[[Task], Contender]]] = {"numpy": Ours}

PEERS: Final[dict[str, Peer]] = {
    "torch": _torch("for-loop", "foreach", False),
    "torch-foreach": _torch("foreach", "foreach", True),
    "torch-fused": _torch("fused", "fused", True),
    "tf_keras": Peer("tf_keras.optimizers.RMSprop in a tf.function", ("tensorflow", "tf_keras"), TfKeras),
}


def choose_peers(names: list[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """Import what the peers of these names need; give those that can run, and why the others cannot."""
    usable, left_out = {}, {}
    for name in names:
        peer = PEERS[name]
        try:
            for module in peer.modules:
                load(module)
            problem = peer.problem()
        except ImportError as error:
            problem = f"not installed: {error}" if isinstance(error, ModuleNotFoundError) else str(error)
        if problem:
            left_out[name] = problem
        else:
            usable[name] = peer
    return usable, left_out
