"""`torch.distributed.checkpoint.state_dict`: state by parameters' names, made by a step that moves nothing."""

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop


def make(rate, **options):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, RMSprop(model.parameters(), rate, **options)


def train(model, optimizer, steps):
    for step in range(steps):
        optimizer.minimize(model(torch.full((1, 3), 1.0 + step)).square().sum())


@pytest.mark.parametrize("rate", [0.125, CosineDecay(0.125, 10)], ids=["number", "schedule"])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "centered": True, "use_ema": True}], ids=["plain", "slots"])
def test_a_run_goes_on_bit_by_bit(rate, options):
    model, optimizer = make(rate, weight_decay=0.1, **options)
    train(model, optimizer, 2)
    found = get_optimizer_state_dict(model, optimizer)
    assert set(found["state"]) == {"weight", "bias"}
    other, again = make(rate, weight_decay=0.1, **options)
    other.load_state_dict(model.state_dict())
    before = other.weight.detach().clone()
    set_optimizer_state_dict(other, again, found)
    assert torch.equal(other.weight.detach(), before)
    assert again.iterations == 2
    train(model, optimizer, 2)
    train(other, again, 2)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.bias, other.bias)
