"""Arguments: the table of refusals, and the words that torch's optimizers and their clients have."""

import inspect

import cases
import pytest
import torch

import rmsprop
from rmsprop.torch import RMSprop


def parameter():
    w = torch.nn.Parameter(torch.zeros(3))
    w.grad = torch.ones(3)
    return w


REFUSED = [case for case in cases.ERRORS if "torch" not in case.accepted_by]
#: None is torch's "not given", for there are two names.
CONSTRUCTOR = [case for case in REFUSED if case.options != {"learning_rate": None}]
#: What a group may say of its own: all but words that only the constructor refuses.
GROUPS = [case for case in CONSTRUCTOR if not case.options.keys() & {"decay", "beta"}]


@pytest.mark.parametrize("case", CONSTRUCTOR, ids=str)
def test_refused_arguments(case):
    with pytest.raises(case.error, match=case.match) as caught:
        RMSprop([parameter()], **case.options)
    assert caught.type is case.error


@pytest.mark.parametrize("case", GROUPS, ids=str)
def test_refused_arguments_of_a_group(case):
    with pytest.raises(case.error, match=case.match) as caught:
        RMSprop([{"params": [parameter()], **case.options}])
    assert caught.type is case.error


@pytest.mark.parametrize("case", GROUPS, ids=str)
def test_a_refused_group_is_not_added(case):
    optimizer = RMSprop([parameter()])
    with pytest.raises(case.error, match=case.match):
        optimizer.add_param_group({"params": [parameter()], **case.options})
    assert len(optimizer.param_groups) == 1


LIVE = [case for case in GROUPS if not case.options.keys() & {"learning_rate", "alpha", "eps", "nesterov"}]


@pytest.mark.parametrize("case", LIVE, ids=str)
def test_refused_entries_of_a_group_that_has_been_stepped(case):
    w = parameter()
    optimizer = RMSprop([w])
    optimizer.step()
    before = w.detach().clone()
    optimizer.param_groups[0].update(case.options)
    with pytest.raises(case.error, match=case.match):
        optimizer.step()
    assert torch.equal(w.detach(), before)
    assert optimizer.iterations == 1


@pytest.mark.parametrize(
    ("rate", "error"), [(-1.0, ValueError), (float("nan"), ValueError), ("x", TypeError), (None, TypeError)]
)
def test_a_live_learning_rate_that_is_none(rate, error):
    optimizer = RMSprop([parameter()])
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(error, match=f"learning_rate={rate!r}"):
        optimizer.step()


def test_arguments_are_those_of_numpy_in_their_order():
    mine = list(inspect.signature(RMSprop).parameters)
    theirs = list(inspect.signature(rmsprop.RMSprop).parameters)
    assert mine[0] == "params"
    assert [name for name in mine[1:] if name in theirs] == theirs
    assert mine[1 : theirs.index("name") + 2] == theirs[: theirs.index("name") + 1]


def test_lr_and_learning_rate_are_one():
    w = parameter()
    for words in ({"lr": 0.5}, {"learning_rate": 0.5}):
        assert RMSprop([w], **words).param_groups[0]["lr"] == 0.5
        assert RMSprop([{"params": [w], **words}]).param_groups[0]["lr"] == 0.5
        absent = dict.fromkeys(words)
        assert RMSprop([{"params": [w], **absent}], **words).param_groups[0]["lr"] == 0.5
        assert RMSprop([w], **absent).param_groups[0]["lr"] == 0.001
    assert RMSprop([w]).param_groups[0]["lr"] == 0.001
    assert RMSprop([w], 0.25).defaults["lr"] == 0.25
    with pytest.raises(TypeError, match=r"learning_rate=0\.5 and lr=0\.25"):
        RMSprop([w], 0.5, lr=0.25)
    with pytest.raises(TypeError, match=r"learning_rate=0\.5 and lr=0\.25"):
        RMSprop([{"params": [w], "lr": 0.25, "learning_rate": 0.5}])


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"foreach": True}, "foreach=True.*one implementation"),
        ({"differentiable": True}, "differentiable=True.*in place"),
    ],
)
def test_ways_that_there_are_not(words, match):
    with pytest.raises(ValueError, match=match):
        RMSprop([parameter()], **words)
    with pytest.raises(ValueError, match=match):
        RMSprop([{"params": [parameter()], **words}])


def test_compiling_or_not_is_for_all_groups():
    with pytest.raises(ValueError, match="jit_compile=False in a parameter group"):
        RMSprop([{"params": [parameter()], "jit_compile": False}])
    # What has groups of its own, as `ZeroRedundancyOptimizer`, hands all of the constructor's words on in them.
    RMSprop([{"params": [parameter()], "jit_compile": False}], jit_compile=False).step()


@pytest.mark.parametrize("word", ["foreach", "fused", "differentiable", "maximize", "capturable"])
def test_flags_are_flags(word):
    with pytest.raises(TypeError, match=f"{word}='yes'"):
        RMSprop([parameter()], **{word: "yes"})


@pytest.mark.parametrize(
    "words", [{"foreach": False}, {"fused": True}, {"capturable": True}, {"differentiable": False}]
)
def test_ways_that_change_nothing(words):
    one, other = parameter(), parameter()
    RMSprop([one], **words).step()
    RMSprop([other]).step()
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "centered": True, "clipnorm": 0.5}, {"clipvalue": 0.5}], ids=str
)
def test_maximize_goes_where_the_negated_gradient_leads(options):
    one, other = parameter(), parameter()
    up, down = RMSprop([one], maximize=True, **options), RMSprop([other], **options)
    other.grad = -other.grad
    for _ in range(3):
        up.step()
        down.step()
    assert torch.equal(one, other)
    assert (one > 0).all()


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ([], ValueError, "empty parameter list"),
        (torch.zeros(3), TypeError, "iterable of Tensors or dicts"),
        ([3], TypeError, "can only optimize Tensors"),
        ([torch.zeros(3, requires_grad=True) * 2], ValueError, "non-leaf"),
        ([{"params": {torch.zeros(3)}}], TypeError, "ordered collections"),
    ],
    ids=["empty", "a tensor", "a number", "no leaf", "a set"],
)
def test_torch_refuses_what_are_no_parameters(params, error, match):
    with pytest.raises(error, match=match):
        RMSprop(params)


def test_entries_of_ones_own_stay_in_a_group():
    """As timm's `lr_scale` and what schedulers write down."""
    optimizer = RMSprop([{"params": [parameter()], "lr_scale": 0.5, "name": "head"}])
    optimizer.step()
    assert optimizer.param_groups[0]["lr_scale"] == 0.5
    assert optimizer.state_dict()["param_groups"][0]["name"] == "head"


def test_the_users_dictionaries_are_not_changed():
    group = {"params": [parameter()], "learning_rate": 0.5}
    RMSprop([group])
    assert set(group) == {"params", "learning_rate"}


def test_repr_names_the_options():
    text = repr(RMSprop([parameter()], 0.5, centered=True))
    assert text.startswith("RMSprop (")
    assert "lr: 0.5" in text
    assert "centered: True" in text
