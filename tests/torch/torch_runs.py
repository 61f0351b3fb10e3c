"""Runs of `rmsprop.torch.RMSprop`, in the form in which those on NumPy arrays are kept."""

import cases
import numpy
import torch

from rmsprop.torch import RMSprop


def tensor(array):
    """A tensor with a copy of an array's numbers; bfloat16 too, which torch does not take from NumPy."""
    array = numpy.array(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array(tensor):
    """The numbers of a tensor, as NumPy has them."""
    tensor = tensor.detach().clone()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def parameters(arrays):
    """Parameters by name."""
    return {name: torch.nn.Parameter(tensor(one)) for name, one in arrays.items()}


def step(optimizer, named, gradients):
    """Do a step with ``{name: gradient}``."""
    for name, parameter in named.items():
        parameter.grad = None if gradients[name] is None else tensor(gradients[name])
    optimizer.step()


def state(optimizer, named):
    """The live tensors, slot -> name -> tensor, "variables" among the slots."""
    slots = {"variables": dict(named)}
    for name, parameter in named.items():
        for slot, one in optimizer.state[parameter].items():
            slots.setdefault(slot, {})[name] = one
    return slots


def path(options, dtype, steps):
    """Do steps with the table's variables and gradients; slot -> name -> array with what is there after each."""
    named = parameters(cases.variables(dtype))
    optimizer = RMSprop(named.items(), **options)
    rows = {}
    stacked = cases.gradients(steps, dtype)
    for place in range(steps):
        step(optimizer, named, cases.at(stacked, place))
        for slot, tensors in state(optimizer, named).items():
            for name, one in tensors.items():
                rows.setdefault(slot, {}).setdefault(name, []).append(array(one))
    assert optimizer.iterations == steps
    return {slot: {name: numpy.stack(one) for name, one in named.items()} for slot, named in rows.items()}


def assert_bits(one, other):
    """Both have the same numbers, bit by bit but for the payload of a NaN."""
    if isinstance(one, torch.Tensor):
        one = array(one)
    if isinstance(other, torch.Tensor):
        other = array(other)
    assert one.dtype == other.dtype
    numpy.testing.assert_array_equal(one, other, strict=True)
