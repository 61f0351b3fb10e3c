"""What parameters may be: every type of numbers, complex ones as two, and state of other types."""

import numpy
import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import array, assert_bits, tensor

import rmsprop
from rmsprop.torch import RMSprop

ALL = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]


def pair(shape, dtype, seed=0):
    """A parameter with a gradient."""
    parameter = torch.nn.Parameter(torch.tensor(numbers(shape, seed=seed)).to(dtype))
    parameter.grad = torch.tensor(numbers(shape, seed=seed + 100)).to(dtype)
    return parameter


def test_all_types_and_shapes_in_one_optimizer():
    shapes = [(), (0,), (3, 0, 2), (5,), (2, 3, 4)]
    parameters = [pair(shape, dtype, seed) for dtype in ALL for seed, shape in enumerate(shapes)]
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = RMSprop(parameters, 0.125, **EVERYTHING)
    optimizer.step()
    for parameter, old in zip(parameters, before, strict=True):
        assert (parameter.detach() != old).all()
        slots = optimizer.state[parameter]
        assert list(slots) == ["average", "velocity", "momentum", "average_gradient"]
        assert {slot.dtype for slot in slots.values()} == {parameter.dtype}
        assert {slot.shape for slot in slots.values()} == {parameter.shape}


def test_a_mixed_optimizer_moves_each_tensor_as_an_optimizer_of_its_own():
    together = [pair((4, 3), dtype, 1) for dtype in ALL]
    alone = [pair((4, 3), dtype, 1) for dtype in ALL]
    options = {"momentum": 0.9, "centered": True, "clipnorm": 1.0, "weight_decay": 0.1}
    RMSprop(together, 0.125, **options).step()
    for one, other in zip(together, alone, strict=True):
        RMSprop([other], 0.125, **options).step()
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [numpy.complex64, numpy.complex128])
def test_complex_numbers_are_two_real_ones(dtype):
    real = numpy.dtype(dtype).type(0).real.dtype
    w, gradient = (numbers((4, 3, 2), real, seed).view(dtype)[..., 0] for seed in (0, 1))
    expected = w.view(real).reshape(4, 3, 2).copy()
    parameter = torch.nn.Parameter(torch.from_numpy(w.copy()))
    options = dict(EVERYTHING, initial_velocity=1.0)
    optimizer, other = RMSprop([parameter], **options), rmsprop.RMSprop(**options)
    for _ in range(4):
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        other.apply_gradients([(gradient.view(real).reshape(4, 3, 2), expected)])
        assert_bits(torch.view_as_real(parameter), expected)


def test_gradients_that_are_conjugate_or_negative_views():
    for view in (torch.conj, lambda one: torch.conj(one).imag):
        gradient = torch.complex(torch.tensor(numbers(5)), torch.tensor(numbers(5, seed=1)))
        gradient = view(gradient)
        assert gradient.is_conj() or gradient.is_neg()
        start = torch.ones_like(gradient, memory_format=torch.contiguous_format)
        one, other = (torch.nn.Parameter(start.clone()) for _ in range(2))
        first, second = RMSprop([one]), RMSprop([other])
        for _ in range(2):
            one.grad, other.grad = gradient, gradient.resolve_conj().resolve_neg().clone()
            first.step()
            second.step()
            assert torch.equal(one, other)


@pytest.mark.parametrize("slot_dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_state_of_another_type(dtype, slot_dtype):
    parameter = pair((5,), dtype)
    optimizer = RMSprop([parameter], slot_dtype=slot_dtype, **EVERYTHING)
    optimizer.step()
    assert {one.dtype for one in optimizer.state[parameter].values()} == {getattr(torch, slot_dtype)}


def test_state_of_complex_parameters_has_parts_of_the_type():
    parameter = pair((5,), torch.complex128)
    optimizer = RMSprop([parameter], slot_dtype="float32")
    optimizer.step()
    assert optimizer.state[parameter]["velocity"].dtype == torch.complex64
    parameter = pair((5,), torch.complex64)
    with pytest.raises(ValueError, match="slot_dtype='bfloat16' has no complex type"):
        RMSprop([parameter], slot_dtype="bfloat16").step()


def test_gradients_of_another_type_than_the_parameter():
    """As `grad_dtype` allows, for weights in bfloat16 whose gradients are summed in float32."""
    if not hasattr(torch.Tensor, "grad_dtype"):
        pytest.skip("this torch holds gradients in the parameter's type alone")
    w, gradient = numbers(5), numbers(5, seed=1)
    parameter = torch.nn.Parameter(tensor(w).to(torch.bfloat16))
    parameter.grad_dtype = torch.float32
    parameter.grad = tensor(gradient)
    expected = array(parameter)
    RMSprop([parameter], slot_dtype="float32").step()
    rmsprop.RMSprop(slot_dtype="float32").apply_gradients([(gradient, expected)])
    assert_bits(parameter, expected)


def test_a_type_that_is_no_float():
    parameter = torch.zeros(3, dtype=torch.float8_e4m3fn, requires_grad=True)
    parameter.grad = torch.zeros(3, dtype=torch.float8_e4m3fn)
    optimizer = RMSprop([("w", parameter)])
    with pytest.raises(TypeError, match=r"parameter 'w' has the type torch\.float8_e4m3fn: it must be one of float16"):
        optimizer.step()
    assert optimizer.iterations == 0
