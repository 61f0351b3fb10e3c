"""`GradScaler`, with the scale undone within the step; autocast."""

import pytest
import torch
from arrays import numbers
from torch.amp import GradScaler
from torch_runs import tensor

from rmsprop.torch import RMSprop

OPTIONS = [
    {}, {"clipvalue": 0.5}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5, "momentum": 0.9, "centered": True},
    {"maximize": True, "weight_decay": 0.1, "use_ema": True},
]  # fmt: skip


def make(**options):
    parameters = [torch.nn.Parameter(tensor(numbers((5,), seed=seed))) for seed in range(2)]
    return parameters, RMSprop(parameters, 0.125, **options)


def backward(parameters, scaler=None, factor=1.0):
    for w in parameters:
        w.grad = None
    loss = sum((w.sin() * w).sum() for w in parameters) * factor
    (loss if scaler is None else scaler.scale(loss)).backward()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("unscaled", [False, True])
def test_the_step_is_that_without_a_scale(options, unscaled):
    """Bit by bit: the scale is a power of two."""
    plain, optimizer = make(**options)
    scaled, other = make(**options)
    scaler = GradScaler("cpu", init_scale=2.0**12, growth_interval=2)
    for _ in range(4):
        backward(plain)
        optimizer.step()
        backward(scaled, scaler)
        if unscaled:
            scaler.unscale_(other)
        scaler.step(other)
        scaler.update()
        for w, v in zip(plain, scaled, strict=True):
            assert torch.equal(w, v)
    assert scaler.get_scale() == 2.0**14
    assert other.iterations == 4


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_skipped_step_advances_nothing(bad):
    parameters, optimizer = make(use_ema=True, ema_overwrite_frequency=2)
    scaler = GradScaler("cpu", init_scale=2.0**12)
    backward(parameters, scaler)
    scaler.step(optimizer)
    scaler.update()
    before = [w.detach().clone() for w in parameters]
    state = [{name: one.clone() for name, one in optimizer.state[w].items()} for w in parameters]
    backward(parameters, scaler, bad)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**11
    assert optimizer.iterations == 1
    for w, old, slots in zip(parameters, before, state, strict=True):
        assert torch.equal(w.detach(), old)
        assert all(torch.equal(optimizer.state[w][name], one) for name, one in slots.items())
    backward(parameters, scaler)
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.iterations == 2
    assert all(torch.equal(w.detach(), optimizer.state[w]["average"]) for w in parameters)


def test_with_and_without_a_scaler_by_turns():
    plain, optimizer = make(momentum=0.5)
    mixed, other = make(momentum=0.5)
    scaler = GradScaler("cpu", init_scale=2.0**4)
    for place in range(4):
        backward(plain)
        optimizer.step()
        backward(mixed, scaler if place % 2 else None)
        if place % 2:
            scaler.step(other)
            scaler.update()
        else:
            other.step()
        assert all(torch.equal(w, v) for w, v in zip(plain, mixed, strict=True))


def test_autocast_training_learns():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = RMSprop(model.parameters(), 0.01)
    x = torch.randn(64, 4)
    y = x[:, :1] * 2 - x[:, 1:2]
    losses = []
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.nn.functional.mse_loss(model(x), y)
        losses.append(optimizer.minimize(loss).item())
    assert losses[-1] < losses[0] / 10


def test_bfloat16_weights_with_state_in_float32_learn():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1).bfloat16()
    optimizer = RMSprop(model.parameters(), 0.02, slot_dtype="float32")
    x = torch.randn(64, 4).bfloat16()
    y = x[:, :1] * 2 - x[:, 1:2]
    losses = [optimizer.minimize(lambda: torch.nn.functional.mse_loss(model(x), y)).item() for _ in range(200)]
    assert losses[-1] < losses[0] / 20
