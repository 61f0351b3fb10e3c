"""Networks that are modules of PyTorch."""

from collections.abc import Iterable, Iterator
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
    """A module of PyTorch on the CPU, with `rmsprop.torch.RMSprop`.

    Args:
        model: gives the logits of rows of pixels.
        names: of its parameters, in their order.
        learning_rate: of the optimizer.
    """

    def __init__(self, model: torch.nn.Module, names: Iterable[str], learning_rate: float) -> None:
        self._model = model
        self._parameters = dict(zip(names, model.parameters(), strict=True))
        self._optimizer = RMSprop(self._parameters.values(), learning_rate, use_ema=True, ema_overwrite_frequency=None)

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
        self._model.train()
        with one_thread():
            loss = functional.cross_entropy(self._model(torch.tensor(images)), torch.tensor(labels))
            gradients = torch.autograd.grad(loss, [*self._parameters.values()])
        return loss.item(), list(gradients)

    def step(self, gradients: list[Tensor]) -> None:
        """See `Network`."""
        for parameter, gradient in zip(self._parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        with one_thread():
            self._optimizer.step()

    def evaluate(self, images: Array, labels: Array) -> tuple[float, float]:
        """See `Network`."""
        self._model.eval()
        expected = torch.tensor(labels)
        with one_thread(), torch.no_grad():
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
        tensors = self._variables()
        for name, parameter in self._parameters.items():
            state = self._optimizer.state[parameter]
            tensors |= {_slots.key(slot.name, name): state[slot.name] for slot in _slots.slots(_OPTIONS)}
        arrays = {key: self._array(tensor) for key, tensor in tensors.items()}
        options = replace(_OPTIONS, learning_rate=self._optimizer.learning_rate)
        _checkpoint.write(path, arrays, self.iterations, options, metadata)

    def load(self, path: Path) -> None:
        """See `Network`."""
        slots = [slot.name for slot in _slots.slots(_OPTIONS)]
        variables = self._variables()
        needed = variables | {
            _slots.key(slot, name): parameter for slot in slots for name, parameter in self._parameters.items()
        }
        found = _checkpoint.read(path, {key: self._array(tensor) for key, tensor in needed.items()})
        tensors = {key: self._tensor(array) for key, array in found.tensors.items()}
        with torch.no_grad():
            for key, variable in variables.items():
                variable.copy_(tensors[key])
        whole = self._optimizer.state_dict()
        whole["state"] = {
            number: {slot: tensors[_slots.key(slot, name)] for slot in slots}
            for number, name in enumerate(self._parameters)
        }
        self._optimizer.load_state_dict(whole)
        self._optimizer.iterations = found.iterations

    def _variables(self) -> dict[str, Tensor]:
        """Give what the model is made of besides the optimizer's state, by the keys of a checkpoint."""
        named = self._parameters | dict(self._model.named_buffers())
        return {_slots.key("variable", name): tensor for name, tensor in named.items()}

    def _array(self, tensor: Tensor) -> Array:
        """Give a view of a tensor as checkpoints have it."""
        array: Array = tensor.detach().numpy()
        return array

    def _tensor(self, array: Array) -> Tensor:
        """Undo `_array`."""
        return torch.tensor(array)


class TorchDense(TorchNetwork):
    """A `torch.nn.Sequential` of linear layers: the network of all backends.

    Args:
        variables: see `rmsprop.cli._network.start_values`.
        learning_rate: of the optimizer.
    """

    def __init__(self, variables: dict[str, Array], learning_rate: float) -> None:
        arrays = list(variables.values())
        layers: list[torch.nn.Module] = []
        for weights in arrays[::2]:
            layers += [torch.nn.Linear(*weights.shape), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, array in zip(model.parameters(), arrays, strict=True):
                parameter.copy_(self._tensor(array))
        super().__init__(model, variables, learning_rate)

    def _array(self, tensor: Tensor) -> Array:
        """See `TorchNetwork`; the other backends' weights are torch's transposed."""
        return super()._array(tensor.t())

    def _tensor(self, array: Array) -> Tensor:
        return torch.tensor(array).t()


@contextmanager
def one_thread() -> Iterator[None]:
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
