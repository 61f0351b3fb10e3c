"""Memory that two of a step's tensors have in common."""

import pytest
import torch
from arrays import numbers

from rmsprop.torch import RMSprop

DESCENT = {"rho": 1.0, "epsilon": 1.0}


@pytest.mark.parametrize("steps", [1, 3])
def test_a_gradient_may_be_the_parameter_itself(steps):
    w, plain = (torch.nn.Parameter(torch.tensor(numbers(50000))) for _ in range(2))
    optimizer, other = RMSprop([w], 0.125), RMSprop([plain], 0.125)
    for _ in range(steps):
        w.grad, plain.grad = w.detach(), plain.detach().clone()
        optimizer.step()
        other.step()
        assert torch.equal(w, plain)


def test_a_gradient_may_be_a_shifted_part_of_the_parameters_memory():
    buffer = torch.tensor(numbers(50001))
    copy = buffer.clone()
    w, plain = torch.nn.Parameter(buffer[:-1]), torch.nn.Parameter(copy[:-1])
    w.grad, plain.grad = buffer[1:], copy[1:].clone()
    RMSprop([w], 0.125).step()
    RMSprop([plain], 0.125).step()
    assert torch.equal(w, plain)


def test_a_parameter_given_twice_is_stepped_twice():
    """With torch's own warning, as `torch.optim` does it."""
    w, plain = torch.nn.Parameter(torch.ones(40000)), torch.nn.Parameter(torch.ones(40000))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = RMSprop([w, w], 0.5)
    other = RMSprop([plain], 0.5)
    for _ in range(3):
        w.grad, plain.grad = torch.ones(40000), torch.ones(40000)
        optimizer.step()
        other.step()
        other.step()
        assert torch.equal(w, plain)
    with pytest.raises(ValueError, match="more than one parameter group"):
        RMSprop([{"params": [w]}, {"params": [w]}])


def test_parameters_that_share_memory_are_stepped_one_after_the_other():
    buffer = torch.zeros(60000)
    left, right = torch.nn.Parameter(buffer[:40000]), torch.nn.Parameter(buffer[20000:])
    left.grad, right.grad = torch.ones(40000), torch.full((40000,), 2.0)
    optimizer = RMSprop([left, right], 0.5, **DESCENT)
    optimizer.step()
    assert optimizer.explain().launches == 2  # threads may share one launch
    expected = torch.zeros(60000)
    expected[:40000] -= 0.5
    expected[20000:] -= 1
    assert torch.equal(buffer, expected)


def test_two_parameters_may_have_one_gradient():
    gradient = torch.ones(5)
    one, other = torch.nn.Parameter(torch.zeros(5)), torch.nn.Parameter(torch.zeros(5))
    one.grad = other.grad = gradient
    optimizer = RMSprop([one, other], 0.5, **DESCENT)
    optimizer.step()
    optimizer.step()
    assert torch.equal(one.detach(), -gradient)
    assert torch.equal(other.detach(), -gradient)
