"""`RMSprop.from_optimizer` with timm's and Stable-Baselines3's RMSprop in the middle of a run."""

import copy
import warnings

import gymnasium
import pytest
import timm.optim
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from rmsprop.torch import RMSprop

TIMM, SB3 = timm.optim.RMSpropTF, RMSpropTFLike

# Each row: a class, its options, and whether all of it has an equal here.
ROWS = {
    "timm": (TIMM, {}, True),
    "timm-momentum": (TIMM, {"momentum": 0.9}, True),
    "timm-everything": (
        TIMM,
        {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "decoupled_decay": True, "foreach": True},
        True,
    ),
    "timm-corrected": (
        TIMM,
        {"weight_decay": 0.1, "decoupled_decay": True, "corrected_weight_decay": True},
        False,
    ),
    "timm-momentum-without-rate": (TIMM, {"momentum": 0.9, "lr_in_momentum": False}, False),
    "sb3": (SB3, {}, True),
    "sb3-centered": (SB3, {"centered": True, "alpha": 0.9}, True),
    "sb3-momentum": (SB3, {"momentum": 0.9}, False),
}


def parameters(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in [(4, 3), (5,), ()]]


def train(optimizer, steps, seed, size=0.1):
    """Steps with gradients around 0, some near the root of epsilon."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = size * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        optimizer.step()


def copied(other):
    """Another optimizer on parameters of its own, at the same place."""
    twin = copy.deepcopy(other)
    return twin, [parameter for group in twin.param_groups for parameter in group["params"]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("kind", "options", "equal"), ROWS.values(), ids=ROWS)
def test_goes_on_exactly_as_the_original(kind, options, equal, dtype):
    mine = parameters(dtype)
    other = kind(mine, lr=0.01, eps=1e-3, **options)
    train(other, 5, seed=2)
    twin, theirs = copied(other)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if equal else "ignore")
        optimizer = RMSprop.from_optimizer(other)
    assert optimizer.iterations == 5
    before = [one.detach().clone() for one in mine]
    train(optimizer, 20, seed=3)
    train(twin, 20, seed=3)
    # Measured: 3.6e-7 and 2.2e-16, rounding, in weights around 1 that went 0.009 and more.
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-15}[dtype]
    for one, start, expected in zip(mine, before, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=tolerance)
        assert (one - start).abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "options", "equal"), ROWS.values(), ids=ROWS)
def test_averages_which_the_original_lacks_start_at_the_parameters(kind, options, equal):
    """After steps of the original: with a decay of 0.5 they are the mean of the parameters before and after a step."""
    mine = parameters()
    other = kind(mine, lr=0.01, eps=1e-3, **options)
    train(other, 5, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if equal else "ignore")
        optimizer = RMSprop.from_optimizer(other, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None)
    before = [one.detach().clone() for one in mine]
    train(optimizer, 1, seed=3)
    for one, start in zip(mine, before, strict=True):
        assert not torch.equal(one, start)
        torch.testing.assert_close(optimizer.state[one]["average"], (start + one) / 2, rtol=0, atol=1e-15)


def test_a_changed_rate_is_where_momentum_without_it_differs():
    """It would scale all that is in the buffer; here each gradient keeps its own rate, as the warning says."""
    mine = parameters()
    other = SB3(mine, lr=0.01, momentum=0.9)
    train(other, 5, seed=2)
    twin, theirs = copied(other)
    with pytest.warns(UserWarning, match="the same until it changes, from when on"):
        optimizer = RMSprop.from_optimizer(other)
    optimizer.param_groups[0]["lr"] = twin.param_groups[0]["lr"] = 0.0
    before = [one.detach().clone() for one in mine]
    moved = [optimizer.state[one]["momentum"] * 0.9 for one in mine]
    train(optimizer, 1, seed=3)
    train(twin, 1, seed=3)
    for one, start, way, expected in zip(mine, before, moved, theirs, strict=True):
        assert torch.equal(expected, start)
        assert torch.equal(one, start - way)


def test_what_cannot_be_equal_is_said():
    corrected = {"weight_decay": 0.5, "decoupled_decay": True, "corrected_weight_decay": True}
    other = TIMM(parameters(), lr=0.5, **corrected)
    other.param_groups[0]["lr"] = 0.25
    with pytest.warns(UserWarning, match=r"corrected weight_decay=0\.5 has become weight_decay=0\.25: the same until"):
        optimizer = RMSprop.from_optimizer(other)
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    with pytest.warns(UserWarning, match="caution=True is left out"):
        RMSprop.from_optimizer(TIMM(parameters(), momentum=0.5, caution=True))
    for kind in (TIMM, SB3):
        with pytest.warns(UserWarning, match="RMSpropTF.*\n.*weight_decay=0.5 is added to the gradient"):
            assert RMSprop.from_optimizer(kind(parameters(), weight_decay=0.5)).param_groups[0]["weight_decay"] == 0.5
        with pytest.raises(ValueError, match=f"{kind.__name__} squares complex numbers"):
            RMSprop.from_optimizer(kind(parameters(torch.complex64)))


@pytest.mark.parametrize("kind", [TIMM, SB3])
def test_groups_and_new_parameters(kind):
    one, two, three = parameters()
    other = kind([{"params": [one], "lr_scale": 0.5}, {"params": [two], "momentum": 0.5, "alpha": 0.5}], lr=0.125)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = RMSprop.from_optimizer(other)
    rows = [tuple(group.get(key) for key in ("lr", "lr_scale", "momentum", "rho")) for group in optimizer.param_groups]
    assert rows == [(0.125, 0.5, 0, other.defaults["alpha"]), (0.125, None, 0.5, 0.5)]
    theirs = {
        "alpha",
        "eps",
        "decoupled_decay",
        "corrected_weight_decay",
        "max_lr_snapshot",
        "lr_in_momentum",
        "caution",
    }
    assert not theirs & {entry for group in optimizer.param_groups for entry in group}
    optimizer.add_param_group({"params": [three], "rho": 1.0})
    train(optimizer, 1, seed=2)
    assert torch.equal(optimizer.state[three]["velocity"], torch.ones((), dtype=torch.float64))


def test_an_agent_changes_its_optimizer_and_goes_its_way():
    def weights(change):
        policy = {"optimizer_class": SB3, "optimizer_kwargs": {"eps": 1e-5}, "net_arch": [16]}
        model = A2C("MlpPolicy", gymnasium.make("CartPole-v1"), policy_kwargs=policy, seed=0, device="cpu")
        model.learn(100)
        if change:
            model.policy.optimizer = RMSprop.from_optimizer(model.policy.optimizer)
        model.learn(100, reset_num_timesteps=False)
        assert isinstance(model.policy.optimizer, RMSprop) is change
        return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])

    # Measured: 2.3e-10, rounding.
    torch.testing.assert_close(weights(True), weights(False), rtol=0, atol=1e-8)
