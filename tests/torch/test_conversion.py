"""`from_optimizer`: other RMSprops go on as ours."""

import pytest
import torch
from arrays import numbers
from torch_runs import tensor

from rmsprop.torch import RMSprop


class RMSpropTF(torch.optim.Optimizer):
    """As timm's: epsilon inside the root, averages of squares that begin at 1."""

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, decoupled_decay=False, lr_in_momentum=True, **more):
        known = {"lr": lr, "alpha": 0.9, "eps": 1e-3, "centered": False, "momentum": momentum}
        decay = {"weight_decay": weight_decay, "decoupled_decay": decoupled_decay, "lr_in_momentum": lr_in_momentum}
        super().__init__(params, known | decay | more)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                state = self.state[w]
                if not state:
                    state.update(step=0, square_avg=torch.ones_like(w), momentum_buffer=torch.zeros_like(w))
                    state["grad_avg"] = torch.zeros_like(w)
                state["step"] += 1
                w *= 1 - group["lr"] * group["weight_decay"]
                state["square_avg"] += (w.grad**2 - state["square_avg"]) * (1 - group["alpha"])
                state["grad_avg"] += (w.grad - state["grad_avg"]) * (1 - group["alpha"])
                mean = state["grad_avg"] if group["centered"] else 0 * w
                rate = group["lr"] if group["lr_in_momentum"] else 1
                step = rate * w.grad / (state["square_avg"] - mean**2 + group["eps"]).sqrt()
                state["momentum_buffer"].mul_(group["momentum"]).add_(step)
                w -= state["momentum_buffer"] * (group["lr"] / rate)


class RMSpropTFLike(RMSpropTF):
    """As Stable-Baselines3's: the learning rate outside of the momentum."""

    def __init__(self, params, lr, momentum=0.0, **more):
        super().__init__(params, lr, momentum, lr_in_momentum=False, **more)
        for group in self.param_groups:
            del group["lr_in_momentum"], group["decoupled_decay"]

    def step(self):
        for group in self.param_groups:
            group["lr_in_momentum"] = False
        super().step()
        for group in self.param_groups:
            del group["lr_in_momentum"]


def make():
    return [torch.nn.Parameter(tensor(numbers(shape, "float64"))) for shape in ((3, 2), (4,))]


def go(optimizer, steps, seed):
    for place in range(steps):
        for group in optimizer.param_groups:
            for at, w in enumerate(group["params"]):
                w.grad = tensor(numbers(w.shape, "float64", seed + 10 * place + at))
        optimizer.step()


MAKERS = {
    "torch": lambda params, **more: torch.optim.RMSprop(params, 0.1, 0.9, 1e-30, **more),
    "torch foreach": lambda params, **more: torch.optim.RMSprop(params, 0.1, 0.9, 1e-30, foreach=True, **more),
    "timm": lambda params, **more: RMSpropTF(params, 0.1, **more),
    "timm, lr outside": lambda params, **more: RMSpropTF(params, 0.1, lr_in_momentum=False, **more),
    "timm, decoupled decay": lambda params, **more: RMSpropTF(
        params, 0.1, decoupled_decay=True, weight_decay=0.1, **more
    ),
    "SB3": lambda params, **more: RMSpropTFLike(params, 0.1, **more),
}


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.5, "centered": True}], ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_the_run_goes_on(name, options):
    """Where epsilon is nothing beside the velocity its place is of no account."""
    one = make()
    theirs = MAKERS[name](one, **options)
    go(theirs, 3, 0)
    kept = {w: {name: torch.as_tensor(value).clone() for name, value in theirs.state[w].items()} for w in one}
    other = [w.detach().clone() for w in one]
    if name.startswith("torch"):
        with pytest.warns(UserWarning, match="from RMSprop: eps stands outside of the square root"):
            ours = RMSprop.from_optimizer(theirs)
    else:
        ours = RMSprop.from_optimizer(theirs)
    assert ours.iterations == 3
    go(ours, 3, 50)
    moved = [w.detach().clone() for w in one]
    with torch.no_grad():
        for w, old in zip(one, other, strict=True):
            w.copy_(old)
            assert all(torch.equal(torch.as_tensor(theirs.state[w][slot]), value) for slot, value in kept[w].items())
    go(theirs, 3, 50)
    for w, mine in zip(one, moved, strict=True):
        # measured: 2e-15, of float64
        torch.testing.assert_close(mine, w.detach(), rtol=0, atol=1e-13)


def test_before_the_first_step():
    ours = RMSprop.from_optimizer(RMSpropTF(make(), 0.1))
    assert (ours.iterations, len(ours.state)) == (0, 0)
    assert ours.param_groups[0]["initial_velocity"] == 1


def test_groups_names_and_entries_of_ones_own():
    w, b = make()
    groups = [{"params": [("w", w)], "lr": 0.5, "lr_scale": 2.0}, {"params": [("b", b)], "maximize": True}]
    theirs = torch.optim.RMSprop(groups, 0.25, eps=1e-4)
    ours = RMSprop.from_optimizer(theirs, epsilon=1e-3, use_ema=True)
    found = [
        {name: group.get(name) for name in ("lr", "rho", "epsilon", "maximize", "use_ema", "lr_scale", "param_names")}
        for group in ours.param_groups
    ]
    common = {"rho": 0.99, "epsilon": 1e-3, "use_ema": True}
    assert found == [
        {"lr": 0.5, "maximize": False, "lr_scale": 2.0, "param_names": ["w"]} | common,
        {"lr": 0.25, "maximize": True, "lr_scale": None, "param_names": ["b"]} | common,
    ]


@pytest.mark.parametrize("word", ["lr", "learning_rate"])
def test_a_learning_rate_of_ones_own(word):
    ours = RMSprop.from_optimizer(RMSpropTF(make(), 0.1), **{word: 0.5})
    assert ours.param_groups[0]["lr"] == 0.5


def test_decay_that_is_a_penalty_is_not_carried_over():
    theirs = torch.optim.RMSprop(make(), 0.1, weight_decay=0.25)
    with pytest.raises(ValueError, match=r"weight_decay=0\.25 of group 0 is an L2 penalty there"):
        RMSprop.from_optimizer(theirs, epsilon=1e-7)
    assert RMSprop.from_optimizer(theirs, epsilon=1e-7, weight_decay=0.5).param_groups[0]["weight_decay"] == 0.5


def test_what_is_not_known():
    with pytest.raises(TypeError, match=r"other=torch\.optim\.sgd\.SGD is not known"):
        RMSprop.from_optimizer(torch.optim.SGD(make(), 0.1))
    with pytest.raises(ValueError, match="caution=True of group 0"):
        RMSprop.from_optimizer(RMSpropTF(make(), 0.1, caution=True))
