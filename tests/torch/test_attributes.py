"""Attributes that would be taken and never read: options, and other libraries' words for them; others are free."""

import pytest
import torch

from rmsprop.torch import RMSprop


def make(**options):
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.ones(2)
    return RMSprop([w], 0.25, **options)


@pytest.mark.parametrize(
    "name",
    ["rho", "momentum", "epsilon", "centered", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
     "ema_momentum", "ema_overwrite_frequency", "initial_velocity", "slot_dtype", "maximize", "fused", "capturable"],
)  # fmt: skip
def test_an_option_is_set_in_the_groups(name):
    optimizer = make()
    with pytest.raises(AttributeError, match=rf"{name}=0\.5 cannot be assigned.*param_groups\[i\]\['{name}'\]"):
        setattr(optimizer, name, 0.5)
    assert not hasattr(optimizer, name)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("lr", "use learning_rate"), ("alpha", "use rho"), ("eps", "use epsilon"), ("decay", "use rho"),
     ("clip_norm", "use clipnorm"), ("jit_compile", "constructor")],
)  # fmt: skip
def test_another_word_is_told_ours(name, advice):
    optimizer = make()
    with pytest.raises(AttributeError, match=f"{name}.*{advice}"):
        setattr(optimizer, name, 0)
    assert optimizer.learning_rate == 0.25


def test_what_may_be_assigned():
    optimizer = make()
    optimizer.learning_rate, optimizer.iterations = 0.5, 3
    optimizer.name, optimizer.grad_scale, optimizer.my_own = "mine", None, 1
    assert (optimizer.learning_rate, optimizer.iterations, optimizer.name, optimizer.my_own) == (0.5, 3, "mine", 1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)  # which leaves marks on it
    optimizer.step()
    scheduler.step()
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize("value", [0.5, None, lambda step: 0.5])
def test_a_group_says_lr(value):
    optimizer = make()
    optimizer.step()
    group = optimizer.param_groups[0]
    before, group["learning_rate"] = group["params"][0].detach().clone(), value
    for _ in range(2):
        with pytest.raises(TypeError, match=r"param_groups\[0\]\['learning_rate'\]=.*'lr'"):
            optimizer.step()
    assert torch.equal(group["params"][0], before)
    del group["learning_rate"]
    optimizer.step()
    assert optimizer.iterations == 2


@pytest.mark.parametrize("word", ["alpha", "eps", "nesterov", "clip_norm"])
def test_another_word_in_a_group_is_found_at_the_next_step(word):
    optimizer = make()
    optimizer.step()
    optimizer.param_groups[0][word] = 0.5
    with pytest.raises(TypeError, match=f"RMSprop has no argument {word}=0.5"):
        optimizer.step()
    assert optimizer.iterations == 1


@pytest.mark.parametrize("momentum", [1e-8, 1e-4, 9.9e-4])
def test_positions_of_torchs_rmsprop_are_warned_of(momentum):
    w = torch.nn.Parameter(torch.ones(2))
    with pytest.warns(UserWarning, match=r"momentum=.*write RMSprop\(params, learning_rate=.*rho=.*epsilon=") as caught:
        RMSprop([w], 1e-2, 0.99, momentum)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("momentum", [0, 0.0, 1e-3, 0.9, 1])
def test_a_momentum_that_is_one_is_not(momentum):
    RMSprop([torch.nn.Parameter(torch.ones(2))], 1e-2, 0.99, momentum)


def test_in_a_group_it_is_said_by_name():
    RMSprop([{"params": [torch.nn.Parameter(torch.ones(2))], "momentum": 1e-8}]).param_groups[0]["momentum"] = 1e-6
