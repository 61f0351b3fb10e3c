"""accelerate: what it sees of steps that a scaler skips, and the tensors that it puts in the place of parameters."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler

from rmsprop.torch import RMSprop


@pytest.fixture(autouse=True)
def _state():
    Accelerator(cpu=True)


@pytest.mark.parametrize("make", [torch.optim.RMSprop, RMSprop])
def test_a_step_that_is_skipped_is_seen(make):
    w = torch.nn.Parameter(torch.ones(3))
    inner = make([w], lr=0.25)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(torch.ones(()))
    inner_scheduler = torch.optim.lr_scheduler.ExponentialLR(inner, 0.5)
    optimizer = AcceleratedOptimizer(inner, device_placement=False, scaler=scaler)
    scheduler = AcceleratedScheduler(inner_scheduler, optimizer)
    for gradient, skipped, rate in ((float("inf"), True, 0.25), (1.0, False, 0.125)):
        w.grad = torch.full((3,), gradient)
        optimizer.step()
        scheduler.step()
        assert optimizer.step_was_skipped == skipped
        assert inner.param_groups[0]["lr"] == rate
        assert (w[0].item() == 1.0) == skipped


def test_parameters_that_are_replaced_stay_excluded():
    weight, bias = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    inner = RMSprop([weight, bias], lr=0.125, weight_decay=0.5)
    inner.exclude_from_weight_decay([bias])
    optimizer = AcceleratedOptimizer(inner, device_placement=False)
    new = {one: torch.nn.Parameter(one.detach().clone()) for one in (weight, bias)}
    optimizer._switch_parameters(new)
    for one in new.values():
        one.grad = torch.zeros(2)
    optimizer.step()
    assert new[weight].tolist() == [1 - 0.5 * 0.125] * 2
    assert new[bias].tolist() == [1.0] * 2
