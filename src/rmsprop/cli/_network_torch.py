"""The network as a module of PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rmsprop import _checkpoint, _slots
from rmsprop._options import Options
from rmsprop.cli._digits import Array
from rmsprop.torch import RMSprop

#: Of the optimizer, as all backends have it.
_OPTIONS: Final = Options(use_ema=True, ema_overwrite_frequency=None)


class TorchNetwork:
    """A `torch.nn.Sequential` of linear layers, with `rmsprop.torch.RMSprop`, on the CPU.

    Args:
        variables: see `rmsprop.cli._network.start_values`.
        learning_rate: of the optimizer.
    """

    def __init__(self, variables: dict[str, Array], learning_rate: float) -> None:
        self._model = _make_model(variables)
        self._parameters = dict(zip(variables, self._model.parameters(), strict=True))
        self._optimizer = RMSprop(self._model.parameters(), learning_rate, use_ema=True, ema_overwrite_frequency=None)

    @property
    def parameters(self) -> int:
        """See `Network`."""
        return sum(parameter.numel() for parameter in self._parameters.values())

    @property
    def iterations(self) -> int:
        """See `Network`."""
        return self._optimizer.iterations

    def gradients(self, images: Array, labels: Array) -> tuple[float, list[Tensor]]:
        """See `Network`."""
        with _one_thread():
            loss = functional.cross_entropy(self._model(torch.tensor(images)), torch.tensor(labels))
            gradients = torch.autograd.grad(loss, [*self._parameters.values()])
        return loss.item(), list(gradients)

    def step(self, gradients: list[Tensor]) -> None:
        """See `Network`."""
        for parameter, gradient in zip(self._parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        with _one_thread():
            self._optimizer.step()

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        expected = torch.tensor(labels)
        with _one_thread(), torch.no_grad():
            logits = self._model(torch.tensor(images))
            right = logits.argmax(dim=1) == expected.argmax(dim=1)
            return functional.cross_entropy(logits, expected).item(), right.double().mean().item()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """See `Network`."""
        with self._optimizer.averaged_weights():
            yield

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """See `Network`; the file is as the NumPy optimizer writes it."""
        tensors = {_slots.key("variable", name): _array(one) for name, one in self._parameters.items()}
        for name, parameter in self._parameters.items():
            state = self._optimizer.state[parameter]
            tensors |= {_slots.key(slot.name, name): _array(state[slot.name]) for slot in _slots.slots(_OPTIONS)}
        options = replace(_OPTIONS, learning_rate=self._optimizer.learning_rate)
        _checkpoint.write(path, tensors, self.iterations, options, metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        slots = [slot.name for slot in _slots.slots(_OPTIONS)]
        needed = {
            _slots.key(slot, name): _array(parameter)
            for slot in ("variable", *slots)
            for name, parameter in self._parameters.items()
        }
        found = _checkpoint.read(path, needed)
        tensors = {key: torch.tensor(array).t() for key, array in found.tensors.items()}
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[_slots.key("variable", name)])
        whole = self._optimizer.state_dict()
        whole["state"] = {
            number: {slot: tensors[_slots.key(slot, name)] for slot in slots}
            for number, name in enumerate(self._parameters)
        }
        self._optimizer.load_state_dict(whole)
        self._optimizer.iterations = found.iterations


def _make_model(variables: dict[str, Array]) -> torch.nn.Sequential:
    arrays = list(variables.values())
    layers: list[torch.nn.Module] = []
    for weights in arrays[::2]:
        layers += [torch.nn.Linear(*weights.shape), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(torch.tensor(array).t())
    return model


def _array(tensor: Tensor) -> Array:
    """Give a view of a tensor as the other backends have it: their weights are torch's transposed."""
    array: Array = tensor.detach().t().numpy()
    return array


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread.

    Matrices this small are multiplied no slower by one thread than by two that wait for each other, and the same bits
    come out wherever the program runs on.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
