"""`torch.distributed.checkpoint.state_dict`: state by parameters' names, made by a step that moves nothing."""

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from rmsprop.schedules import CosineDecay, ExponentialDecay
from rmsprop.torch import RMSprop


def make(rate, **options):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, RMSprop(model.parameters(), rate.clone() if isinstance(rate, torch.Tensor) else rate, **options)


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


LOOKED_AT = {
    "number": (0.125, {}),
    "tensor": (torch.tensor(0.125), {}),
    "schedule": (ExponentialDecay(0.125, 1, 0.5), {"momentum": 0.5}),
    "schedule from 0": (CosineDecay(0.0, 8, warmup_target=0.25, warmup_steps=3), {}),
    "function": (lambda step: 0.25 / (1 + step), {"centered": True}),
    "initial velocity": (0.125, {"initial_velocity": 1.0}),
    "averages": (0.125, {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3}),
}
looked_at = pytest.mark.parametrize(("rate", "options"), LOOKED_AT.values(), ids=LOOKED_AT.keys())


@looked_at
def test_looking_at_the_state_before_the_first_step_is_no_step(rate, options):
    model, optimizer = make(rate, **options)
    other, again = make(rate, **options)
    for _ in range(2):
        found = get_optimizer_state_dict(other, again)
    assert again.iterations == 0
    assert {name: set(slots) for name, slots in found["state"].items()} == dict.fromkeys(
        ("weight", "bias"), slots_of(options)
    )
    with torch.no_grad():  # weights that are loaded now are where averages start
        for w, v in zip(model.parameters(), other.parameters(), strict=True):
            v.copy_(w.mul_(0.5))
    again.finalize_variable_values()
    assert torch.equal(model.weight, other.weight)
    train(model, optimizer, 4)
    train(other, again, 4)
    assert again.iterations == 4
    for w, v in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(w, v)
        assert all(torch.equal(optimizer.state[w][name], again.state[v][name]) for name in optimizer.state[w])


def slots_of(options):
    words = {"momentum": "momentum", "centered": "average_gradient", "use_ema": "average"}
    return {"velocity", *(slot for word, slot in words.items() if word in options)}


@looked_at
def test_the_state_of_before_the_first_step_loads(rate, options):
    model, optimizer = make(rate, **options)
    found = get_optimizer_state_dict(model, optimizer)
    other, again = make(rate, **options)
    set_optimizer_state_dict(other, again, found)
    assert again.iterations == 0
    fresh = make(rate, **options)
    for one in ((other, again), fresh):
        train(*one, 4)
    assert all(map(torch.equal, other.parameters(), fresh[0].parameters()))


def test_it_does_not_end_the_time_for_exclusions():
    model, optimizer = make(0.125, weight_decay=0.5)
    get_optimizer_state_dict(model, optimizer)
    optimizer.exclude_from_weight_decay([model.bias])
    train(model, optimizer, 1)
    with pytest.raises(ValueError, match="before the first step"):
        optimizer.exclude_from_weight_decay([])


@pytest.mark.parametrize(("rate", "gradient", "some"), [(0.125, 0.0, False), (0.0, 1.0, False), (0.0, 0.0, True)])
def test_other_first_steps_count(rate, gradient, some):
    model, optimizer = make(rate)
    for w in [model.weight] if some else model.parameters():
        w.grad = torch.full_like(w, gradient)
    optimizer.step()
    assert optimizer.iterations == 1


def test_with_state_every_step_counts():
    model, optimizer = make(0.125)
    train(model, optimizer, 1)
    optimizer.param_groups[0]["lr"] = 0.0
    for w in model.parameters():
        w.grad = torch.zeros_like(w)
    optimizer.step()
    assert optimizer.iterations == 2


def test_a_refused_step_after_it_is_not_the_first():
    model, optimizer = make(0.125, use_ema=True, ema_momentum=0.5, weight_decay=0.1, jit_compile=False)
    get_optimizer_state_dict(model, optimizer)
    optimizer.param_groups[0]["rho"] = 2.0
    with pytest.raises(ValueError, match="rho"):
        train(model, optimizer, 1)
    optimizer.param_groups[0]["rho"] = 0.9
    optimizer.exclude_from_weight_decay([model.bias])
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.fill_(3.0)
    other, again = make(0.125, use_ema=True, ema_momentum=0.5, weight_decay=0.1, jit_compile=False)
    again.exclude_from_weight_decay([other.bias])
    other.load_state_dict(model.state_dict())
    train(model, optimizer, 1)
    train(other, again, 1)
    for w, v in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(w, v)
        assert torch.equal(optimizer.state[w]["average"], again.state[v]["average"])
