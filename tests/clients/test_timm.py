"""timm: its parameter groups, its schedulers, and the steps of `RMSpropTF`."""

import pytest
import timm.optim
import timm.scheduler
import torch
from torch import nn

from rmsprop.torch import RMSprop


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 2))


def scaled(model):
    """Groups as timm makes them for decay by layers: the first layer at half the rate, no decay for vectors."""
    decayed = [{"params": [layer.weight], "lr_scale": scale} for layer, scale in ((model[0], 0.5), (model[3], 1.0))]
    plain = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    return [*decayed, {"params": plain, "weight_decay": 0.0, "lr_scale": 1.0}]


def train(model, optimizer, scheduler, steps):
    generator = torch.Generator().manual_seed(3)
    for number in steps:
        optimizer.zero_grad()
        inputs = torch.randn(4, 8, generator=generator)
        nn.functional.cross_entropy(model(inputs), torch.arange(4) % 2).backward()
        optimizer.step()
        scheduler.step(number + 1)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


SCHEDULERS = {
    "cosine": lambda o: timm.scheduler.CosineLRScheduler(o, t_initial=25, lr_min=1e-5, warmup_t=5, warmup_lr_init=1e-4),
    "step": lambda o: timm.scheduler.StepLRScheduler(o, decay_t=2.4, decay_rate=0.97, warmup_t=5, warmup_lr_init=1e-6),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
def test_groups_with_lr_scale_go_the_way_of_their_own(scheduler):
    """With the settings of its EfficientNet, and weight decay decoupled as it is here."""
    mine, theirs = network(), network()
    start = weights(mine)
    ours = RMSprop(scaled(mine), lr=0.01, momentum=0.9, epsilon=1e-3, weight_decay=0.01, initial_velocity=1.0)
    other = timm.optim.RMSpropTF(
        scaled(theirs), lr=0.01, momentum=0.9, eps=1e-3, weight_decay=0.01, decoupled_decay=True
    )
    train(mine, ours, scheduler(ours), range(20))
    train(theirs, other, scheduler(other), range(20))
    rates = [group["lr"] for group in ours.param_groups]
    assert rates == [group["lr"] for group in other.param_groups]
    assert rates[0] == rates[1] / 2 < 0.005
    # Measured: 2.1e-7, rounding, in weights that went 0.08 and more.
    assert (weights(mine) - weights(theirs)).abs().max() < 1e-6 < 0.05 < (weights(mine) - start).abs().max()


def test_groups_that_timm_makes():
    model = network()
    groups = timm.optim.param_groups_weight_decay(model, weight_decay=0.25)
    optimizer = RMSprop(groups, lr=0.5)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.25]
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 2]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.step()
    for parameter, start in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, start if start.ndim == 1 else start - start * 0.25 * 0.5)


def test_made_by_their_factory_under_a_name():
    registry = timm.optim.OptimizerRegistry()
    registry.register(timm.optim.OptimInfo("keras", RMSprop, has_eps=False, has_momentum=True))
    model = network()
    model.pretrained_cfg = {"classifier": "3"}  # by which timm tells layers apart
    optimizer = registry.create_optimizer(
        model, "keras", lr=0.5, weight_decay=0.25, momentum=0.75, layer_decay=0.5, epsilon=1e-3
    )
    assert isinstance(optimizer, RMSprop)
    assert {group["lr_scale"] for group in optimizer.param_groups} == {0.5, 1.0}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.25}
    assert {(group["lr"], group["momentum"], group["epsilon"]) for group in optimizer.param_groups} == {
        (0.5, 0.75, 1e-3)
    }


def test_a_scheduler_goes_on_from_a_checkpoint():
    models = [network() for _ in range(2)]
    optimizers = [RMSprop(scaled(model), lr=0.01, momentum=0.9) for model in models]
    schedulers = [SCHEDULERS["cosine"](optimizer) for optimizer in optimizers]
    train(models[0], optimizers[0], schedulers[0], range(10))
    for pair in (models, optimizers, schedulers):
        pair[1].load_state_dict(pair[0].state_dict())
    assert [group["lr_scale"] for group in optimizers[1].param_groups] == [0.5, 1.0, 1.0]
    for model, optimizer, scheduler in zip(models, optimizers, schedulers, strict=True):
        train(model, optimizer, scheduler, range(10, 15))
    assert torch.equal(weights(models[0]), weights(models[1]))
