"""Parameter groups: options of their own, norms over all, names, groups that come later."""

import explanations
import numpy
import pytest
import torch
from arrays import numbers
from torch_runs import assert_bits, tensor

import rmsprop
from rmsprop.torch import RMSprop


def make(shape=(5,), seed=0):
    w = torch.nn.Parameter(tensor(numbers(shape, seed=seed)))
    w.grad = tensor(numbers(shape, seed=seed + 100))
    return w


GROUPS = [
    {"lr": 0.5},
    {"lr": 0.25, "momentum": 0.9},
    {"rho": 0.5, "centered": True, "epsilon": 0.125},
    {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    {"weight_decay": 0.2, "use_ema": True, "ema_momentum": 0.25, "ema_overwrite_frequency": 3},
    {"clipnorm": 0.5},
    {"clipvalue": 0.5, "initial_velocity": 1.0},
    {"maximize": True, "slot_dtype": "float64"},
    {},
]


def test_every_option_is_a_groups_own():
    together = [make(seed=seed) for seed in range(len(GROUPS))]
    alone = [make(seed=seed) for seed in range(len(GROUPS))]
    optimizer = RMSprop([{"params": [w], **options} for w, options in zip(together, GROUPS, strict=True)])
    others = [RMSprop([w], **options) for w, options in zip(alone, GROUPS, strict=True)]
    for _ in range(6):
        optimizer.step()
        for w, single, other in zip(together, alone, others, strict=True):
            other.step()
            assert torch.equal(w, single)


def test_numbers_that_differ_share_a_launch_and_options_that_are_on_do_not():
    groups = [{"params": [make()], "lr": 0.5 / n, "rho": 0.5 / n, "weight_decay": 0.1 / n} for n in range(1, 5)]
    optimizer = RMSprop([*groups, {"params": [make()], "momentum": 0.5, "weight_decay": 0.5}])
    optimizer.step()
    assert optimizer.explain().launches == 2


def test_the_global_norm_is_that_of_all_groups_which_have_a_limit():
    together = [make(seed=seed) for seed in range(4)]
    arrays = [numbers((5,), seed=seed) for seed in range(4)]
    gradients = [numbers((5,), seed=seed + 100) for seed in range(4)]
    limits = [{"global_clipnorm": 0.5}, {}, {"global_clipnorm": 0.5, "weight_decay": 0.1}]
    optimizer = RMSprop(
        [{"params": together[:1]} | limits[0], {"params": together[1:2]}, {"params": together[2:]} | limits[2]], 0.125
    )
    optimizer.step()
    # One optimizer has them all: the decay of some is what `exclude_from_weight_decay` is there for.
    other = rmsprop.RMSprop(0.125, weight_decay=0.1, global_clipnorm=0.5)
    clipped = [arrays[0], arrays[2], arrays[3]]
    other.exclude_from_weight_decay([arrays[0]])
    other.apply_gradients(zip([gradients[0], gradients[2], gradients[3]], clipped, strict=True))
    rmsprop.RMSprop(0.125).apply_gradients([(gradients[1], arrays[1])])
    for w, expected in zip(together, arrays, strict=True):
        assert_bits(w, expected)


def test_limits_of_the_global_norm_may_differ():
    one, other = make((2,)), make((2,))
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    options = {"lr": 1.0, "rho": 1.0, "epsilon": 1.0}
    with torch.no_grad():
        one.zero_()
        other.zero_()
    groups = [{"params": [one], "global_clipnorm": 1.0}, {"params": [other], "global_clipnorm": 2.5}]
    RMSprop(groups, **options).step()
    numpy.testing.assert_allclose(one.tolist(), [-0.6, 0], rtol=1e-7)  # measured: 4e-8, of float32
    assert other.tolist() == [0, -2]


def test_a_group_that_comes_later_goes_on_at_the_same_iteration():
    first, second = make(), make(seed=1)
    optimizer = RMSprop([first], lambda step: 0.5 / (step + 1), use_ema=True, ema_overwrite_frequency=3)
    optimizer.step()
    optimizer.add_param_group({"params": second})
    assert [group["iterations"] for group in optimizer.param_groups] == [1, 1]
    assert optimizer.param_groups[1]["lr"] == 0.25
    optimizer.step()
    assert not torch.equal(second.detach(), optimizer.state[second]["average"])
    optimizer.step()
    for w in (first, second):
        assert torch.equal(w.detach(), optimizer.state[w]["average"])
    assert optimizer.iterations == 3


def test_momentum_that_is_turned_on_later_gets_its_state_then():
    """By a scheduler; off again, the state is kept and not touched."""
    w, expected, gradient = make(), numbers((5,)), numbers((5,), seed=100)
    optimizer = RMSprop([w])
    other = rmsprop.RMSprop()
    for _ in range(2):
        optimizer.step()
        other.apply_gradients([(gradient, expected)])
    assert list(optimizer.state[w]) == ["velocity"]
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    momentum = optimizer.state[w]["momentum"].clone()
    other.apply_gradients([(gradient, expected)])  # the first momentum is the step itself
    assert_bits(w, expected)
    optimizer.param_groups[0]["momentum"] = 0.0
    optimizer.step()
    other.apply_gradients([(gradient, expected)])
    assert_bits(w, expected)
    assert torch.equal(optimizer.state[w]["momentum"], momentum)
    optimizer.param_groups[0]["momentum"] = 0.25
    optimizer.step()
    assert not torch.equal(optimizer.state[w]["momentum"], momentum)


def test_numbers_that_change_between_steps_are_taken_at_once(monkeypatch):
    one, other = make(), make()
    changing = RMSprop([one], momentum=0.5)
    changing.step()
    constant = RMSprop([other], momentum=0.5)
    constant.step()
    counted = explanations.Counted(monkeypatch)
    for rho, mu in ((0.5, 0.25), (0.75, 0.9)):
        changing.param_groups[0].update(rho=rho, momentum=mu)
        changing.step()
        assert counted.made == 0
        again = RMSprop([other], rho=rho, momentum=mu)
        again.state.update(constant.state)
        again.step()
        assert torch.equal(one, other)
        counted.made = 0


def test_names_come_from_named_parameters():
    model = torch.nn.Linear(3, 2)
    optimizer = RMSprop(model.named_parameters(), 0.125, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias$"])
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    for w in model.parameters():
        w.grad = torch.zeros_like(w)
    optimizer.step()
    assert torch.equal(model.weight.detach(), before["weight"] - before["weight"] * 0.5 * 0.125)
    assert torch.equal(model.bias.detach(), before["bias"])


def test_a_second_exclusion_replaces_the_first():
    one, other = make(), make(seed=1)
    one.grad, other.grad = torch.zeros(5), torch.zeros(5)
    optimizer = RMSprop([("one", one), ("other", other)], weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["one"])
    optimizer.exclude_from_weight_decay(var_list=[other])
    before = one.detach().clone(), other.detach().clone()
    optimizer.step()
    assert not torch.equal(one.detach(), before[0])
    assert torch.equal(other.detach(), before[1])
    with pytest.raises(ValueError, match="before the first step"):
        optimizer.exclude_from_weight_decay()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"var_list": torch.zeros(3)}, TypeError, "var_list is one tensor"),
        ({"var_list": [torch.zeros(3)]}, ValueError, r"var_list holds a tensor of shape \[3\], which is not among"),
        ({"var_names": "bias"}, TypeError, "var_names='bias' is one string"),
        ({"var_names": ["bias"]}, ValueError, r"var_names=\['bias'\]: the parameters have no names"),
    ],
    ids=["one tensor", "foreign", "one string", "no names"],
)
def test_what_cannot_be_excluded(arguments, error, match):
    with pytest.raises(error, match=match):
        RMSprop([make()], weight_decay=0.5).exclude_from_weight_decay(**arguments)


def test_an_exclusion_that_is_no_regular_expression():
    with pytest.raises(ValueError, match=r"var_names=\['\('\] holds no regular expression"):
        RMSprop([("w", make())]).exclude_from_weight_decay(var_names=["("])
