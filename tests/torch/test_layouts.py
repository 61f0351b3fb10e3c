"""Memory: parameters, gradients and state that lie in any way."""

import pytest
import torch
from arrays import EVERYTHING, numbers

from rmsprop.torch import RMSprop

SHAPE = (4, 3, 5, 2)


def wide(shape):
    """Every other number of a larger tensor."""
    return torch.tensor(numbers((*shape[:-1], 2 * shape[-1])))[..., ::2]


LIES = {
    "contiguous": lambda: torch.tensor(numbers(SHAPE)),
    "channels_last": lambda: torch.tensor(numbers(SHAPE)).to(memory_format=torch.channels_last),
    "transposed": lambda: torch.tensor(numbers(SHAPE[::-1])).permute(3, 2, 1, 0),
    "with gaps": lambda: wide(SHAPE),
    "part of a flat buffer": lambda: torch.tensor(numbers(130))[7:127].view(SHAPE),
    "crossed": lambda: torch.tensor(numbers((5, 4, 2, 3))).permute(1, 3, 0, 2),
}


def given(lies, seed):
    tensor = LIES[lies]()
    return tensor.copy_(torch.tensor(numbers(SHAPE, seed=seed)))


@pytest.mark.parametrize("gradient", [*LIES, "expanded"])
@pytest.mark.parametrize("parameter", LIES)
@pytest.mark.matrix
def test_the_bits_do_not_depend_on_how_memory_lies(parameter, gradient):
    w, plain = torch.nn.Parameter(given(parameter, 0)), torch.nn.Parameter(given("contiguous", 0))
    strides = w.stride()
    optimizer, other = RMSprop([w], 0.125, **EVERYTHING), RMSprop([plain], 0.125, **EVERYTHING)
    for seed in (1, 2, 3):
        if gradient == "expanded":
            g = torch.tensor(numbers((3, 1, 1), seed=seed)).expand(SHAPE)
        else:
            g = given(gradient, seed)
        w.grad, plain.grad = g, g.contiguous()
        optimizer.step()
        other.step()
    assert w.stride() == strides
    assert torch.equal(w, plain)
    for slot, tensor in optimizer.state[w].items():
        assert torch.equal(tensor, other.state[plain][slot])


def test_views_into_one_flat_buffer():
    flat = torch.zeros(12)
    parameters = [torch.nn.Parameter(flat[start : start + 4]) for start in (0, 4, 8)]
    for parameter in parameters:
        parameter.grad = torch.ones(4)
    optimizer = RMSprop(parameters, 0.5, rho=1.0, epsilon=1.0)
    optimizer.step()
    assert torch.equal(flat, torch.full((12,), -0.5))
    assert optimizer.explain().launches == 1


def test_a_parameter_that_gets_other_memory_is_followed():
    """As `module.to` and wrappers do it, which assign `parameter.data`."""
    w = torch.nn.Parameter(torch.ones(2, 3))
    w.grad = torch.ones(2, 3)
    optimizer = RMSprop([w], 0.5, rho=1.0, epsilon=1.0)
    for make in (torch.clone, lambda one: one.t().contiguous().t(), lambda one: one.double()):
        optimizer.step()
        before = w.detach().clone()
        old, w.data = w.data, make(w.data)
        w.grad = torch.ones_like(w)
        optimizer.step()
        assert torch.equal(old.double(), before.double())
        assert torch.equal(w.detach(), make(before) - 0.5)
        assert optimizer.state[w]["velocity"].dtype == w.dtype


def test_state_that_is_replaced_is_followed():
    """As those do it who keep state elsewhere between steps."""
    w = torch.nn.Parameter(torch.ones(2, 3))
    w.grad = torch.ones(2, 3)
    optimizer = RMSprop([w], 1.0, rho=1.0, epsilon=0.0, initial_velocity=1.0)
    optimizer.step()
    optimizer.state[w]["velocity"] = torch.full((2, 3), 4.0)
    optimizer.step()
    assert torch.equal(w.detach(), torch.full((2, 3), -0.5))
    optimizer.state[w] = {"velocity": torch.full((3, 2), 16.0).t()}
    optimizer.step()
    assert torch.equal(w.detach(), torch.full((2, 3), -0.75))
    optimizer.state[w]["velocity"].data = torch.full((2, 3), 64.0)
    optimizer.step()
    assert torch.equal(w.detach(), torch.full((2, 3), -0.875))


def test_state_of_another_shape_is_refused():
    w = torch.nn.Parameter(torch.ones(2, 3))
    w.grad = torch.ones(2, 3)
    optimizer = RMSprop([w])
    optimizer.state[w]["velocity"] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"state 'velocity' of .* has the shape \[3, 2\], the parameter \[2, 3\]"):
        optimizer.step()


def test_a_parameter_that_repeats_memory_is_refused():
    w = torch.zeros(1).expand(3).requires_grad_()
    w.grad = torch.ones(3)
    with pytest.raises(ValueError, match=r"parameter 0 of group 0 repeats memory \(strides \(0,\)\)"):
        RMSprop([w]).step()
    assert w.tolist() == [0, 0, 0]


def test_a_gradient_that_was_resized_is_refused():
    w = torch.nn.Parameter(torch.ones(5))
    w.grad = torch.ones(5)
    optimizer = RMSprop([w])
    optimizer.step()
    w.grad.data = torch.ones(2)
    before = w.detach().clone()
    with pytest.raises(
        ValueError, match=r"gradient of parameter 0 of group 0 has the shape \[2\], the parameter \[5\]"
    ):
        optimizer.step()
    assert torch.equal(w.detach(), before)
    assert optimizer.iterations == 1
