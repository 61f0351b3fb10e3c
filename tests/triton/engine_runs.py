"""Steps of the CUDA engine, run by Triton's interpreter on CPU tensors, beside `rmsprop.RMSprop` on the same arrays."""

from typing import Any, NamedTuple

import interpreter
import ml_dtypes
import numpy
import ours
import torch

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.rates import rate_function
from rmsprop._torch.cuda import Cuda

SLOTS = ("velocity", "momentum", "average_gradient", "average")

interpreter.mend()


def to_torch(array):
    """A tensor with a copy of an array's numbers, axes in memory as the array's."""
    array = numpy.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.copy(order="K").view(numpy.int16)).view(torch.bfloat16)
    return torch.from_numpy(array.copy(order="K"))


def to_numpy(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def unaligned(tensor):
    """The same numbers at an address that is a multiple of an element's size only."""
    memory = torch.empty(tensor.numel() + 1, dtype=tensor.dtype)
    # Tensors begin at multiples of 64 bytes.
    return memory[1:].as_strided(tensor.shape, tensor.stride()).copy_(tensor)


class Group(NamedTuple):
    """What the engine reads of a parameter group."""

    options: Options
    rate: Any = 0.001
    maximize: bool = False


class Pair:
    """The engine and the NumPy optimizer with the same options, variables and state.

    Args:
        options: of both.
        arrays: name -> start value.
        place: makes the tensor of every operand from a fresh one.
    """

    def __init__(self, options, arrays, place=lambda tensor: tensor):
        self.arrays = {name: array.copy(order="K") for name, array in arrays.items()}
        self.optimizer = ours.build(options, self.arrays)
        self.place = place
        self.options = Options(**options)
        self.engine = Cuda()
        self.rate = rate_function(self.options.learning_rate)
        self.iterations = torch.zeros((), dtype=torch.int64)
        self.parameters = {name: place(to_torch(array)) for name, array in self.arrays.items()}
        self.slots = {name: {} for name in arrays}
        for slot, named in ours.state(self.optimizer, self.arrays).items():
            if slot in SLOTS:
                for name, array in named.items():
                    self.slots[name][slot] = place(to_torch(array))

    def items(self, gradients, rate=0.001):
        group = Group(self.options, rate)
        return [
            Item(self.parameters[name], self.place(to_torch(gradient)), self.slots[name], True, group)
            for name, gradient in gradients.items()
        ]

    def step(self, gradients, learning_rate=None, **arguments):
        """Step the engine with ``{name: gradient}``."""
        rate = self.rate(int(self.iterations)) if learning_rate is None else learning_rate
        with numpy.errstate(all="ignore"):  # the interpreter computes with NumPy
            self.engine.step(self.items(gradients, rate), self.iterations, **arguments)

    def step_both(self, gradients):
        self.step(gradients)
        ours.step(self.optimizer, self.arrays, gradients)
        self.compare()

    def compare(self):
        """Assert that all bits are equal; any NaN equals any other."""
        assert int(self.iterations) == self.optimizer.iterations
        for slot, named in ours.state(self.optimizer, self.arrays).items():
            for name, array in named.items():
                if slot == "variables":
                    same_bits(to_numpy(self.parameters[name]), array, f"{name}")
                elif slot in SLOTS:
                    same_bits(to_numpy(self.slots[name][slot]), array, f"{slot} of {name}")


def same_bits(found, wanted, what=""):
    assert found.dtype == wanted.dtype, what
    assert found.shape == wanted.shape, what
    bits = numpy.dtype(f"i{wanted.dtype.itemsize}")
    nan = numpy.isnan(wanted)
    numpy.testing.assert_array_equal(numpy.isnan(found), nan, what)
    found, wanted = (numpy.ascontiguousarray(one)[~nan].view(bits) for one in (found, wanted))
    numpy.testing.assert_array_equal(found, wanted, what)
