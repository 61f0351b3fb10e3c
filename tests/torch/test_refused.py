"""A step that is refused, or ends before it writes, leaves no state: how an average starts does not depend on it."""

import pytest
import torch
from arrays import EVERYTHING

from rmsprop.torch import RMSprop

AVERAGED = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": None, "weight_decay": 0.1}


def repeats(b):
    b.data = torch.ones(1).expand(3)


def is_short(b):
    b.data.untyped_storage().resize_(4)


def has_no_gradient_memory(b):
    b.grad.untyped_storage().resize_(0)


def conjugates(b):
    b.data, b.grad = torch._neg_view(torch.ones(3)), torch.ones(3)


@pytest.mark.parametrize("options", [AVERAGED, AVERAGED | {"jit_compile": False}], ids=["kernels", "plain"])
@pytest.mark.parametrize("break_it", [repeats, is_short, has_no_gradient_memory, conjugates])
def test_parameters_before_the_one_that_is_refused(break_it, options):
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([a, b], 0.1, **options)
    a.grad, b.grad = torch.ones(3), torch.ones(3)
    break_it(b)
    for _ in range(2):
        with pytest.raises(ValueError, match="parameter 1 of group 0"):
            optimizer.step()
    assert len(optimizer.state) == 0
    assert optimizer.iterations == 0
    assert torch.equal(a.detach(), torch.ones(3))
    optimizer.exclude_from_weight_decay([a])  # which is for before the first step
    a.data.fill_(100.0)
    b.grad = None
    optimizer.step()
    assert optimizer.state[a]["average"][0].item() == pytest.approx((100 + a[0].item()) / 2)


def test_a_slot_type_that_complex_numbers_have_not():
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    optimizer = RMSprop([a, b], slot_dtype="bfloat16", **AVERAGED)
    a.grad, b.grad = torch.ones(3), torch.ones(3, dtype=torch.complex64)
    with pytest.raises(ValueError, match="has no complex type"):
        optimizer.step()
    assert len(optimizer.state) == 0


def test_state_that_does_not_fit_a_later_parameter():
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([a, b], **EVERYTHING)
    b.grad = torch.ones(3)
    optimizer.step()
    before = b.detach().clone()
    optimizer.state[b]["momentum"] = torch.zeros(4)
    a.grad = torch.ones(3)
    with pytest.raises(ValueError, match=r"the state 'momentum' of parameter 1 .* has the shape \[4\], the parameter"):
        optimizer.step()
    assert a not in optimizer.state
    assert torch.equal(b.detach(), before)


@pytest.mark.parametrize("options", [AVERAGED, AVERAGED | {"global_clipnorm": 1.0}], ids=["plain", "norm"])
@pytest.mark.matrix(1)
def test_a_rate_that_is_a_warning(options):
    """float32 has no such number, which NumPy warns of; here warnings are errors."""
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = RMSprop([a, b], 1e39, **options)
    a.grad, b.grad = torch.ones(3), torch.ones(3, dtype=torch.float64)
    for _ in range(2):
        with pytest.raises(RuntimeWarning, match="overflow"):
            optimizer.step()
    assert len(optimizer.state) == 0
    assert b[0].item() == 1


def test_a_parameter_given_twice_has_one_state():
    w = torch.nn.Parameter(torch.ones(3))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = RMSprop([w, w], 0.5)
    w.grad = torch.ones(3)
    optimizer.step()
    # 0.1, and 0.9 of that with 0.1 more
    assert optimizer.state[w]["velocity"][0].item() == pytest.approx(0.19)


@pytest.mark.parametrize("size", [(3, 1), (2,)])
def test_gradients_of_another_shape(size):
    """Torch compares shapes where a gradient is assigned, not where a parameter is resized."""
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([a, b], **AVERAGED)
    a.grad, b.grad = torch.ones(3), torch.ones(3)
    b.data = torch.ones(size)
    with pytest.raises(ValueError, match=r"the gradient of parameter 1 .* has the shape \[3\], the parameter \["):
        optimizer.step()
    assert len(optimizer.state) == 0
