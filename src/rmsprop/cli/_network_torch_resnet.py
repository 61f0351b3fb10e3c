"""A small residual network as a module of PyTorch: convolutions and batch normalization instead of dense layers."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from rmsprop.cli._digits import CLASSES, SIDE
from rmsprop.cli._network_torch import TorchNetwork


class TorchResNet(TorchNetwork):
    """A residual network after He et al., arXiv:1512.03385, with one block of two convolutions a stage.

    Args:
        channels: of each stage; from the second on a stage halves width and height.
        learning_rate: of the optimizer.
        seed: of the start values, which are torch's own.
    """

    def __init__(self, channels: Sequence[int], learning_rate: float, seed: int) -> None:
        # The generator of the process is its user's.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _make_model(channels)
        super().__init__(model, [name for name, _ in model.named_parameters()], learning_rate)


def _make_model(channels: Sequence[int]) -> nn.Sequential:
    stages = [_Block(one, two, stride=1 if stage == 0 else 2) for stage, (one, two) in enumerate(_pairs(channels))]
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        nn.Conv2d(1, channels[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(),
        *stages,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels[-1], CLASSES),
    )


def _pairs(channels: Sequence[int]) -> list[tuple[int, int]]:
    return [*pairwise((channels[0], *channels))]


class _Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, images: Tensor) -> Tensor:
        through = functional.relu(self.first_norm(self.first(images)))
        return functional.relu(self.second_norm(self.second(through)) + self.around(images))
