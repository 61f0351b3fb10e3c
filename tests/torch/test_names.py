"""Names of parameters when state dicts are loaded: the optimizer keeps its own, and state goes by them."""

import copy

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from rmsprop.torch import RMSprop

SHAPES = {"weight": (3, 2), "bias": (2,)}


def make(*names, prefix="", groups=None, **options):
    """An optimizer for parameters of these names; `groups`: how many of them each group has."""
    ws = {name: torch.nn.Parameter(torch.ones(SHAPES.get(name, (2,)))) for name in names}
    pairs = [(prefix + name, w) for name, w in ws.items()]
    if groups is not None:
        rest = iter(pairs)
        pairs = [{"params": [next(rest) for _ in range(count)], "lr": 0.25 / (1 + n)} for n, count in enumerate(groups)]
    return ws, RMSprop(pairs, **{"lr": 0.125, "weight_decay": 0.5} | options)


def step(ws, optimizer, **gradients):
    for name, w in ws.items():
        w.grad = torch.full_like(w, gradients.get(name, 0.0))
    optimizer.step()


def velocities(ws, optimizer):
    return {name: optimizer.state[w]["velocity"].flatten()[0].item() for name, w in ws.items()}


@pytest.mark.parametrize("order", [("weight", "bias"), ("bias", "weight")])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_state_goes_by_name_and_names_stay(order, prefix):
    ws, saved = make("weight", "bias", prefix=prefix, rho=0.0)
    step(ws, saved, weight=1.0, bias=3.0)
    vs, optimizer = make(*order)
    optimizer.exclude_from_weight_decay(var_names=["^bias$"])
    optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert velocities(vs, optimizer) == {"weight": 1.0, "bias": 9.0}
    assert optimizer.param_groups[0]["param_names"] == list(order)
    step(vs, optimizer)
    assert vs["bias"].unique().tolist() == [1.0]
    assert vs["weight"].unique().tolist() == [1 - 0.5 * 0.125]


@pytest.mark.parametrize(
    ("mine", "theirs"), [(("a", "b"), ("x", "y")), (None, ("x", "y")), (("a", "b"), None)], ids=str
)
def test_no_name_in_common_is_by_position_with_a_warning(mine, theirs):
    def unnamed_or(names):
        ws, optimizer = make(*(names or ("p", "q")), rho=0.0)
        return (ws, optimizer) if names else (ws, RMSprop(list(ws.values()), 0.125, rho=0.0))

    ws, saved = unnamed_or(theirs)
    step(ws, saved, **dict(zip(ws, (1.0, 3.0), strict=True)))
    vs, optimizer = unnamed_or(mine)
    with pytest.warns(UserWarning, match="the state dict goes by position") as caught:
        optimizer.load_state_dict(saved.state_dict())
    shown = [[repr(name) for name in names] if names else ["parameter 0", "parameter 1"] for names in (mine, theirs)]
    for one, other in zip(*shown, strict=True):
        assert f"{one} [2] <- {other} [2]" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert list(velocities(vs, optimizer).values()) == [1.0, 9.0]
    assert optimizer.param_groups[0].get("param_names") == (None if mine is None else list(mine))


def unchanged(optimizer, other, error, match):
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(other.state_dict())
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, slots in before["state"].items():
        assert torch.equal(after["state"][number]["velocity"], slots["velocity"])


@pytest.mark.parametrize(
    ("mine", "theirs", "match"),
    [
        (("a", "b"), ("a", "x"), "'b' is missing\n  'x' is only there"),
        (("a", "b"), ("b",), "'a' is missing"),
        (("a", "b"), ("a", "b", "c"), "'c' is only there"),
        (("weight", "bias"), ("x", "y"), r"shapes differ:\n  'weight' \[3, 2\] <- 'x' \[2\]"),
        (("a", "b"), ("x",), "has 1 parameters, here are 2"),
    ],
)
def test_what_does_not_fit_changes_nothing(mine, theirs, match):
    ws, saved = make(*theirs, lr=0.5)
    step(ws, saved, **dict.fromkeys(theirs, 2.0))
    vs, optimizer = make(*mine)
    step(vs, optimizer)
    unchanged(optimizer, saved, ValueError, match)


def test_a_shape_that_differs_is_named():
    ws, saved = make("weight", "bias")
    step(ws, saved)
    optimizer = RMSprop([("bias", torch.nn.Parameter(torch.ones(5))), ("weight", torch.nn.Parameter(torch.ones(3, 2)))])
    unchanged(optimizer, saved, ValueError, r"velocity/bias is float32 \[2\], float32 \[5\] is needed")


def test_a_group_takes_the_options_of_the_one_that_holds_its_parameters():
    ws, saved = make("a", "b", "c", groups=(1, 2), rho=0.0)
    step(ws, saved, a=1.0, b=2.0, c=3.0)
    vs, optimizer = make("c", "b", "a", groups=(2, 1))
    optimizer.load_state_dict(saved.state_dict())
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.25]
    assert [group["param_names"] for group in optimizer.param_groups] == [["c", "b"], ["a"]]
    assert velocities(vs, optimizer) == {"c": 9.0, "b": 4.0, "a": 1.0}


@pytest.mark.parametrize("groups", [(2, 1), (3,), (1, 1, 1)], ids=str)
def test_other_groups_are_refused(groups):
    _, saved = make("a", "b", "c", groups=(1, 2))
    _, optimizer = make("a", "b", "c", groups=groups)
    unchanged(optimizer, saved, ValueError, r"the state dict has the parameters in other groups: those of param_groups")


def test_a_warning_that_is_an_error_changes_nothing():
    """Every warning is one in this suite."""
    ws, saved = make("x", "y", lr=0.5)
    step(ws, saved)
    vs, optimizer = make("a", "b")
    step(vs, optimizer)
    unchanged(optimizer, saved, UserWarning, "goes by position")


def test_a_distributed_checkpoint_goes_by_the_models_names():
    """Which it has done when it comes here; the names in its groups are in the order of the file."""

    def model(*order):
        made = torch.nn.Module()
        for name in order:
            made.register_parameter(name, torch.nn.Parameter(torch.ones(2)))
        return made, RMSprop(made.named_parameters(), 0.125, rho=0.0)

    one, saved = model("a", "b")
    one.a.grad, one.b.grad = torch.full((2,), 1.0), torch.full((2,), 3.0)
    saved.step()
    other, optimizer = model("b", "a")
    set_optimizer_state_dict(other, optimizer, get_optimizer_state_dict(one, saved))
    assert velocities(dict(other.named_parameters()), optimizer) == {"a": 1.0, "b": 9.0}
    assert optimizer.param_groups[0]["param_names"] == ["b", "a"]
