"""Train steps in PyTorch, eager or with `torch.compile`, on the CPU."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Final, Literal

from bench.contenders.torch import settings
from bench.frameworks import load, torch_to_compile
from bench.models import Array
from bench.training.jobs import BLOCKS, DENSE, HEADS, INNER, RATE, STAGES, TOKENS, WIDTH, Job

#: From parameters and options to an optimizer.
MakeOptimizer = Callable[[list[Any], dict[str, Any]], Any]

#: What is compiled: nothing, the model with its loss and its backward, or the whole step.
Compiled = Literal["", "model", "step"]


class Trainer:
    """A model, its batch and an optimizer.

    Args:
        make_optimizer: None leaves it out.
        compiled: what `torch.compile` is given.
        job: what is trained.
        options: of the optimizer.
    """

    def __init__(
        self, make_optimizer: MakeOptimizer | None, compiled: Compiled, job: Job, options: dict[str, Any]
    ) -> None:
        torch = load("torch")
        torch.manual_seed(0)
        self._model = _MODELS[job.model]()
        inputs = torch.from_numpy(job.inputs)
        self._inputs = inputs.permute(0, 3, 1, 2).contiguous() if inputs.ndim == 4 else inputs
        self._labels = torch.from_numpy(job.labels).flatten()
        self._cross_entropy = torch.nn.functional.cross_entropy
        self._parameters = list(self._model.parameters())
        self._optimizer = make_optimizer(self._parameters, options) if make_optimizer else None
        self._loss: Callable[[], Any] = self._compute
        self._step: Callable[[], object] = self._train
        if compiled:
            self._step = partial(self._compile, compiled)

    def _compile(self, what: Compiled) -> None:
        """Compile, and do the first step."""
        torch = torch_to_compile()
        if what == "model":
            self._loss, self._step = torch.compile(self._compute), self._train
        else:
            self._step = torch.compile(self._train)
        self._step()

    def _compute(self) -> Any:
        scores = self._model(self._inputs)
        if scores.ndim == 3:  # of every token
            scores = scores.flatten(0, 1)
        return self._cross_entropy(scores, self._labels)

    def _train(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        self._loss().backward()
        if self._optimizer is not None:
            self._optimizer.step()

    def step(self) -> object:
        """Do one step."""
        return self._step()

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""
        return [parameter.detach().numpy().copy() for parameter in self._parameters]


def make_sgd(parameters: list[Any], options: dict[str, Any]) -> Any:
    """Make a `torch.optim.SGD` as it is by default."""
    return load("torch").optim.SGD(parameters, lr=RATE)


def make_torchs(parameters: list[Any], options: dict[str, Any]) -> Any:
    """Make a `torch.optim.RMSprop` as it is by default."""
    return load("torch").optim.RMSprop(parameters, **{**settings(options), "lr": RATE})


def make_ours(parameters: list[Any], options: dict[str, Any]) -> Any:
    """Make a `rmsprop.torch.RMSprop`."""
    return load("rmsprop.torch").RMSprop(parameters, lr=RATE, **options)


def _dense(name: str) -> Any:
    nn = load("torch").nn
    layers: list[Any] = []
    for inputs, outputs in pairwise(DENSE[name]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _dqn() -> Any:
    nn = load("torch").nn
    convolutions = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3)]
    return nn.Sequential(
        *convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 18)
    )  # fmt: skip


def _transformer() -> Any:
    nn = load("torch").nn
    block = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, norm_first=True)
    # Nested tensors are for batches with padding, and not for blocks that norm first.
    blocks = nn.TransformerEncoder(block, BLOCKS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
    return nn.Sequential(nn.Embedding(TOKENS, WIDTH), blocks, nn.Linear(WIDTH, TOKENS))


def _resnet18() -> Any:
    nn = load("torch").nn

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        """Two convolutions beside the identity, or beside a convolution of one pixel where the size changes."""

        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.first, self.first_norm = _convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
            self.second, self.second_norm = _convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs)
            shortcut = [_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)]
            self.shortcut = nn.Sequential(*(shortcut if (inputs, stride) != (outputs, 1) else []))
            self.relu = nn.ReLU()

        def forward(self, images: Any) -> Any:
            middle = self.relu(self.first_norm(self.first(images)))
            return self.relu(self.second_norm(self.second(middle)) + self.shortcut(images))

    layers = [_convolution(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for place, (inputs, outputs) in enumerate(zip((64, *STAGES), STAGES, strict=False)):
        layers += [Block(inputs, outputs, 2 if place else 1), Block(outputs, outputs, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _convolution(inputs: int, outputs: int, side: int, stride: int = 1) -> Any:
    return load("torch").nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)


_MODELS: Final[dict[str, Callable[[], Any]]] = {
    "mlp": lambda: _dense("mlp"),
    "classifier": lambda: _dense("classifier"),
    "dqn": _dqn,
    "transformer": _transformer,
    "resnet18": _resnet18,
}
