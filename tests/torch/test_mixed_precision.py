"""`GradScaler`, with the scale undone by it, as by default, or within the step, with `fused=True`; autocast."""

import copy
import pickle

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


fused = pytest.mark.parametrize("fused", [None, False, True])


@fused
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("unscaled", [False, True])
def test_the_step_is_that_without_a_scale(options, unscaled, fused):
    """Bit by bit: the scale is a power of two."""
    plain, optimizer = make(**options)
    scaled, other = make(fused=fused, **options)
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


@fused
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_skipped_step_advances_nothing(bad, fused):
    parameters, optimizer = make(fused=fused, use_ema=True, ema_overwrite_frequency=2)
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


@fused
def test_with_and_without_a_scaler_by_turns(fused):
    plain, optimizer = make(momentum=0.5)
    mixed, other = make(fused=fused, momentum=0.5)
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


def leaves_gradients_scaled(optimizer):
    """Whether a step by a scaler leaves the gradients scaled, as where the step itself undoes the scale."""
    scaler = GradScaler("cpu", init_scale=4.0)
    (w,) = optimizer.param_groups[0]["params"]
    w.grad = None
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    return w.grad[0].item() == 4.0


COPIES = {
    "as made": lambda optimizer: optimizer,
    "copied": copy.deepcopy,
    "pickled": lambda optimizer: pickle.loads(pickle.dumps(optimizer)),
    "resumed": lambda optimizer: resumed(optimizer),
}


def resumed(optimizer):
    """From the state dict of one that chose otherwise."""
    w = torch.nn.Parameter(torch.ones(3))
    other = RMSprop([w], fused=not optimizer.param_groups[0]["fused"])
    w.grad = torch.ones(3)
    other.step()
    optimizer.load_state_dict(other.state_dict())
    return optimizer


@fused
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
def test_each_optimizer_has_its_own_choice(fused, copied):
    one = RMSprop([torch.nn.Parameter(torch.ones(3))], fused=fused)
    RMSprop([torch.nn.Parameter(torch.ones(3))], fused=not fused)
    assert leaves_gradients_scaled(copied(one)) == bool(fused)


@fused
def test_it_is_a_choice_of_the_conversion(fused):
    other = torch.optim.RMSprop([torch.nn.Parameter(torch.ones(3))])
    assert leaves_gradients_scaled(RMSprop.from_optimizer(other, epsilon=1e-7, fused=fused)) == bool(fused)


def test_a_scaler_skips_the_call_as_with_torchs_own():
    """By which tools see that a step was skipped; a fused step is called, and decides itself."""
    for kind, options, calls in ((torch.optim.RMSprop, {}, 0), (RMSprop, {}, 0), (RMSprop, {"fused": True}, 1)):
        w = torch.nn.Parameter(torch.ones(3))
        optimizer, seen = kind([w], **options), []
        optimizer.register_step_post_hook(lambda *_, seen=seen: seen.append(1))
        scaler = GradScaler("cpu", init_scale=4.0)
        scaler.scale(w.sum() * float("inf")).backward()
        scaler.step(optimizer)
        assert (len(seen), w.tolist()) == (calls, [1.0] * 3)


def test_all_groups_are_fused_or_none():
    def groups(*words):
        return [{"params": [torch.nn.Parameter(torch.ones(3))], **word} for word in words]

    with pytest.raises(ValueError, match="fused=True in a parameter group: give it to the constructor, for all"):
        RMSprop(groups({}, {"fused": True}))
    optimizer = RMSprop(groups({"fused": None}, {"fused": True}), fused=True)
    with pytest.raises(ValueError, match="fused=False in a parameter group"):
        optimizer.add_param_group(*groups({"fused": False}))
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]
    RMSprop(groups({"fused": False}, {}))


def test_groups_that_have_come_to_differ_are_left_to_the_scaler():
    """Right in either way: what is set in the groups counts, as every option does."""
    (w, v), optimizer = make(fused=True)
    optimizer.param_groups.append(dict(optimizer.param_groups[0], params=[optimizer.param_groups[0]["params"].pop()]))
    optimizer.param_groups[1]["fused"] = False
    plain, other = make()
    scaler = GradScaler("cpu", init_scale=2.0**12)
    backward([w, v], scaler)
    scaler.step(optimizer)
    backward(plain)
    other.step()
    assert torch.equal(w, plain[0])
    assert torch.equal(v, plain[1])


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
