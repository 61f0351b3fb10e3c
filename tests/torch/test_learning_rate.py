"""Learning rates: torch's schedulers, tensors, schedules of ours, functions."""

import warnings

import explanations
import pytest
import torch
from torch.optim import lr_scheduler

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

DESCENT = {"rho": 1.0, "epsilon": 1.0}  # so that a step is the learning rate times the gradient


def make(rate=None, **options):
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    w.grad = torch.ones(1, dtype=torch.float64)
    return w, RMSprop([w], rate, **DESCENT, **options)


def moves(w, optimizer, steps, between=lambda: None):
    found = []
    for _ in range(steps):
        before = w.item()
        optimizer.step()
        found.append(before - w.item())
        between()
    return found


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, 5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=9),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.125, 0.5, 3),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 5),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.5, 2), lr_scheduler.ExponentialLR(o, 0.5)], [3]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_torch_schedulers_set_the_rate(name):
    w, optimizer = make(0.5, momentum=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own: SequentialLR calls what it deprecates
        scheduler = SCHEDULERS[name](optimizer)
        rates, mus, expected, momentum = [], [], [], 0.0
        for _ in range(8):
            rates.append(optimizer.param_groups[0]["lr"])
            mus.append(optimizer.param_groups[0]["momentum"])
            momentum = mus[-1] * momentum + max(rates[-1], 0.0)
            expected.append(momentum)
            before = w.item()
            optimizer.step()
            # measured: 5e-16, of the sum
            assert before - w.item() == pytest.approx(momentum, abs=1e-14)
            scheduler.step()
    assert len(set(rates)) > 2
    assert (len(set(mus)) > 1) == (name in ("OneCycleLR", "CyclicLR"))


def test_reduce_on_plateau():
    w, optimizer = make(0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    assert moves(w, optimizer, 4, lambda: scheduler.step(1.0)) == [0.5, 0.5, 0.25, 0.125]


def test_a_rate_that_rounding_made_negative_is_zero():
    w, optimizer = make(0.5)
    optimizer.param_groups[0]["lr"] = -1e-17
    assert moves(w, optimizer, 1) == [0]


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tensor_is_read_at_every_step(shape, dtype):
    rate = torch.full(shape, 0.5, dtype=dtype)
    w, optimizer = make(rate)
    assert optimizer.param_groups[0]["lr"] is rate
    assert moves(w, optimizer, 3, lambda: rate.mul_(0.5)) == [0.5, 0.25, 0.125]


def test_a_scheduler_fills_a_tensor():
    rate = torch.tensor(0.5)
    w, optimizer = make(rate)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert moves(w, optimizer, 3, scheduler.step) == [0.5, 0.25, 0.125]
    assert optimizer.param_groups[0]["lr"] is rate


@pytest.mark.parametrize(
    ("rate", "error"), [(torch.ones(2), ValueError), (torch.tensor(-1.0), ValueError), (torch.tensor(1j), ValueError)]
)
def test_a_tensor_that_is_no_rate(rate, error):
    with pytest.raises(error, match="learning_rate="):
        make(rate)
    w, optimizer = make(0.5)
    optimizer.param_groups[0]["lr"] = rate
    w.grad = torch.ones_like(w)
    with pytest.raises(error, match="learning_rate="):
        optimizer.step()


def test_a_schedule_of_ours_rules():
    schedule = CosineDecay(0.5, 4)
    w, optimizer = make(schedule)
    assert optimizer.param_groups[0]["lr"] == 0.5
    # measured: 6e-17, of the sum
    assert moves(w, optimizer, 5) == pytest.approx([schedule(step) for step in range(5)], abs=1e-15)
    assert optimizer.param_groups[0]["lr"] == schedule(4)
    assert optimizer.learning_rate == schedule(5)


def test_functions():
    w, optimizer = make(lambda step: 0.5 / (step + 1))
    assert moves(w, optimizer, 2) == [0.5, 0.25]
    rates = iter([0.5, 0.5, 0.25, 0.125])  # the first is what the group shows until the first step
    w, optimizer = make(lambda: next(rates))
    assert moves(w, optimizer, 3) == [0.5, 0.25, 0.125]


def test_a_group_may_have_a_schedule_or_do_without():
    one, other = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    one.grad, other.grad = torch.ones(1), torch.ones(1)
    optimizer = RMSprop([{"params": [one]}, {"params": [other], "lr": 0.25}], lambda step: 0.5 / (step + 1), **DESCENT)
    optimizer.step()
    optimizer.step()
    assert (one.item(), other.item()) == (-0.75, -0.5)


def test_a_number_over_a_schedule_is_refused():
    w, optimizer = make(CosineDecay(0.5, 4))
    with pytest.raises(TypeError, match=r"learning_rate=0\.25 cannot be set while the schedule CosineDecay"):
        optimizer.learning_rate = 0.25
    optimizer.param_groups[0]["lr"] = 0.25
    with pytest.raises(
        TypeError, match=r"param_groups\[0\]\['lr'\]=0\.25 cannot be set while the schedule CosineDecay"
    ):
        optimizer.step()
    assert (w.item(), optimizer.iterations) == (0, 0)


def test_a_rate_of_zero_over_a_schedule_holds_for_a_step():
    """So torch.distributed.checkpoint makes state before it loads."""
    w, optimizer = make(CosineDecay(0.5, 4))
    group = optimizer.param_groups[0]
    before, group["lr"] = group["lr"], 0.0
    assert moves(w, optimizer, 1) == [0]
    group["lr"] = before
    assert moves(w, optimizer, 1) == [CosineDecay(0.5, 4)(1)]


def test_assignment():
    w, optimizer = make(0.5)
    optimizer.learning_rate = 0.25
    assert (optimizer.learning_rate, optimizer.param_groups[0]["lr"]) == (0.25, 0.25)
    assert moves(w, optimizer, 1) == [0.25]
    optimizer.learning_rate = lambda step: 0.5 / (step + 1)
    assert moves(w, optimizer, 1) == [0.25]
    optimizer.param_groups[0]["lr"] = lambda step: 1.0 / (step + 2)
    assert moves(w, optimizer, 1) == [0.25]
    with pytest.raises(ValueError, match="learning_rate=-1"):
        optimizer.learning_rate = -1


def test_a_changed_rate_makes_no_new_plan(monkeypatch):
    w, optimizer = make(0.5)
    optimizer.step()
    counted = explanations.Counted(monkeypatch)
    for rate in (0.25, 0.125):
        optimizer.param_groups[0]["lr"] = rate
        w.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
    assert (counted.made, counted.launches) == (0, 2)
