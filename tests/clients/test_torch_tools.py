"""What torch itself brings beside optimizers: averaged models, schedules of the rate and of momentum."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau, SequentialLR, StepLR
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from rmsprop.torch import RMSprop

INPUTS = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))


def train(model, optimizer, steps, after=lambda: None):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(INPUTS), INPUTS.sum(1, keepdim=True))
        loss.backward()
        optimizer.step()
        after()
    return loss.item()


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_its_averaged_model_and_our_averages_are_the_same():
    """From one start, with one decay: ours begins at the weights before the first step, and so does a copy of them."""
    model = network()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.n_averaged += 1  # or it would begin after the first step
    optimizer = RMSprop(model.parameters(), lr=0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=None)
    train(model, optimizer, 20, lambda: averaged.update_parameters(model))
    trained = weights(model)
    with optimizer.averaged_weights():
        ours = weights(model)
    # Measured: 1.8e-7, rounding: torch interpolates. From the trained weights they are 0.1 away.
    assert (ours - weights(averaged)).abs().max() < 1e-6
    assert (ours - trained).abs().max() > 0.05


def test_stochastic_weight_averaging():
    model = network()
    optimizer = RMSprop(model.parameters(), lr=0.05, momentum=0.9)
    averaged = AveragedModel(model)
    train(model, optimizer, 20)
    schedule = SWALR(optimizer, swa_lr=0.005, anneal_epochs=5)

    def after():
        averaged.update_parameters(model)
        schedule.step()

    train(model, optimizer, 20, after)
    assert optimizer.learning_rate == pytest.approx(0.005)
    update_bn([INPUTS], averaged)
    averaged.eval()
    loss = nn.functional.mse_loss(averaged(INPUTS), INPUTS.sum(1, keepdim=True))
    assert loss < INPUTS.sum(1).square().mean() / 10


def test_one_cycle_turns_momentum_with_the_rate():
    model = network()
    optimizer = RMSprop(model.parameters(), lr=0.01, momentum=0.9)
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=40, base_momentum=0.85, max_momentum=0.95)
    rows = []

    def after():
        rows.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        if len(rows) < 40:
            schedule.step()

    loss = train(model, optimizer, 40, after)
    rates, momenta = zip(*rows, strict=True)
    assert rates.index(max(rates)) == momenta.index(min(momenta)) == 11
    assert (max(rates), min(momenta), max(momenta)) == pytest.approx((0.1, 0.85, 0.95))
    assert loss < INPUTS.sum(1).square().mean() / 10


def test_what_a_cycle_sets_is_what_a_step_uses():
    """Each step is the one of an optimizer that was built with the values of that moment."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = RMSprop([weight], lr=0.01, momentum=0.9)
    schedule = CyclicLR(optimizer, 0.01, 0.1, step_size_up=4, base_momentum=0.8, max_momentum=0.9)
    for _ in range(12):
        other = nn.Parameter(weight.detach().clone())
        group = optimizer.param_groups[0]
        single = RMSprop([other], lr=group["lr"], momentum=group["momentum"])
        if optimizer.state:
            single.state[other] = {name: slot.clone() for name, slot in optimizer.state[weight].items()}
        weight.grad = other.grad = weight.detach() - 0.5
        optimizer.step()
        single.step()
        assert torch.equal(weight, other)
        schedule.step()


def test_one_cycle_turns_momentum_on():
    """An optimizer without momentum has the entry all the same, and gets the slot when it needs it."""
    model = network()
    optimizer = RMSprop(model.parameters(), lr=0.01)
    assert optimizer.param_groups[0]["momentum"] == 0
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=40)
    train(model, optimizer, 3, schedule.step)
    assert all("momentum" in optimizer.state[parameter] for parameter in model.parameters())


def test_schedules_one_after_the_other_and_from_a_checkpoint():
    def make():
        model = network()
        optimizer = RMSprop(model.parameters(), lr=0.1, momentum=0.5)
        first, second = StepLR(optimizer, 2, 0.5), OneCycleLR(optimizer, max_lr=0.1, total_steps=30)
        return model, optimizer, SequentialLR(optimizer, [first, second], milestones=[5])

    whole, resumed = make(), make()
    train(*whole[:2], 8, whole[2].step)
    for one, other in zip(whole, resumed, strict=True):
        other.load_state_dict(copy.deepcopy(one.state_dict()))
    for model, optimizer, schedule in (whole, resumed):
        train(model, optimizer, 8, schedule.step)
    assert whole[1].param_groups[0]["lr"] == resumed[1].param_groups[0]["lr"] != 0.1
    assert all(map(torch.equal, whole[0].parameters(), resumed[0].parameters()))


def test_a_plateau_lowers_the_rate():
    model = network()
    optimizer = RMSprop(model.parameters(), lr=0.5)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for _ in range(4):
        schedule.step(1.0)
    assert optimizer.learning_rate == 0.5 * 0.5**3
