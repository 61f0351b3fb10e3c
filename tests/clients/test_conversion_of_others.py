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
    tolerance = {torch.float32: 1, torch.float64: 1}[dtype]
    for one, start, expected in zip(mine, before, theirs, strict=True):
        print((one - expected).abs().max().item(), (one - start).abs().min().item())
