"""State dicts of optimizers whose options were changed on the way, as schedulers of momentum do."""

import copy

import pytest
import torch
from arrays import numbers
from torch_runs import tensor

from rmsprop.torch import RMSprop


def model():
    return [torch.nn.Parameter(tensor(numbers(shape))) for shape in ((3, 2), (2,))]


def run(optimizer, steps, seed=0):
    for place in range(steps):
        for at, w in enumerate(optimizer.param_groups[0]["params"]):
            w.grad = tensor(numbers(w.shape, seed=seed + 10 * place + at))
        optimizer.step()


OPTIONS = pytest.mark.parametrize(
    ("name", "on", "off"),
    [("momentum", 0.9, 0.0), ("centered", True, False), ("use_ema", True, False)],
    ids=["momentum", "centered", "average"],
)


def goes_on_alike(parameters, optimizer, name, value):
    """Load its state dict into a new optimizer, turn the option on in both, and compare two steps."""
    others = [torch.nn.Parameter(w.detach().clone()) for w in parameters]
    again = RMSprop(others, **{name: optimizer.param_groups[0][name]})
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in (optimizer, again):
        one.param_groups[0][name] = value
        run(one, 2, 50)
    for w, other in zip(parameters, others, strict=True):
        assert torch.equal(w, other)


@OPTIONS
def test_what_was_turned_off_is_kept_for_when_it_is_turned_on_again(name, on, off):
    parameters = model()
    optimizer = RMSprop(parameters, **{name: on})
    run(optimizer, 2)
    optimizer.param_groups[0][name] = off
    run(optimizer, 1, 30)
    goes_on_alike(parameters, optimizer, name, on)


@OPTIONS
def test_what_was_turned_on_since_the_last_step_is_made_at_the_next(name, on, off):
    parameters = model()
    optimizer = RMSprop(parameters, **{name: off})
    run(optimizer, 2)
    optimizer.param_groups[0][name] = on
    goes_on_alike(parameters, optimizer, name, on)


def test_a_parameter_that_rests_when_momentum_is_turned_on():
    parameters = model()
    optimizer = RMSprop(parameters)
    run(optimizer, 1)
    optimizer.param_groups[0]["momentum"] = 0.5
    parameters[1].grad = None
    optimizer.step()
    again = RMSprop(model(), momentum=0.5)
    again.load_state_dict(optimizer.state_dict())
    assert [sorted(state) for state in again.state.values()] == [["momentum", "velocity"], ["velocity"]]


def test_a_state_without_velocity_is_refused():
    optimizer = RMSprop(model(), momentum=0.5)
    run(optimizer, 1)
    state_dict = copy.deepcopy(optimizer.state_dict())
    del state_dict["state"][1]["velocity"]
    with pytest.raises(ValueError, match="velocity/1 is missing"):
        optimizer.load_state_dict(state_dict)
