"""`exclude_from_weight_decay` after others have put other tensors into the groups, and patterns that match nothing."""

import copy
import gc
import pickle
import weakref

import pytest
import torch

from rmsprop.torch import RMSprop

DECAYED = 1 - 0.5 * 0.125


def ones(*shape):
    w = torch.nn.Parameter(torch.ones(shape or (2,)))
    w.grad = torch.zeros_like(w)
    return w


def make(count=3, excluded=(1,), groups=None):
    ws = [ones() for _ in range(count)]
    optimizer = RMSprop(ws if groups is None else groups(ws), 0.125, weight_decay=0.5)
    optimizer.exclude_from_weight_decay([ws[place] for place in excluded])
    return ws, optimizer


def decays(*tensors, by):
    """Which tensors a step decays; all are 1 before."""
    with torch.no_grad():
        for one in tensors:
            one.fill_(1.0)
            one.grad = torch.zeros_like(one)
    by.step()
    values = [one.unique().item() for one in tensors]
    assert set(values) <= {1.0, DECAYED}
    return [value != 1.0 for value in values]


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("way", ["list", "items", "twice", "groups"])
def test_tensors_that_take_the_places_are_excluded(way, stepped):
    """As accelerate's for FSDP2, and denser clouds of Gaussians, whose shapes change."""
    ws, optimizer = make()
    if stepped:
        optimizer.step()
    new = [ones(3) for _ in ws]
    group = optimizer.param_groups[0]
    if way == "list":
        group["params"] = new
    elif way == "items":
        for place, one in enumerate(new):
            group["params"][place] = one
    elif way == "twice":
        group["params"] = [torch.empty(1) for _ in new]
        group["params"] = new
    else:
        optimizer.param_groups = [dict(group, params=new)]
    assert decays(*new, by=optimizer) == [True, False, True]
    again = [ones(4) for _ in ws]
    optimizer.param_groups[0]["params"] = again
    assert decays(*again, by=optimizer) == [True, False, True]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_copies_made_in_between_know_too(copied):
    _, optimizer = make()
    optimizer.param_groups[0]["params"] = [ones() for _ in range(3)]
    twin = copied(optimizer)
    assert decays(*twin.param_groups[0]["params"], by=twin) == [True, False, True]


def test_each_group_by_its_own_places():
    ws, optimizer = make(4, (1, 2), lambda ws: [{"params": ws[:2]}, {"params": ws[2:]}])
    new = [ones(), ones()]
    optimizer.param_groups[1]["params"] = new
    assert decays(*ws[:2], *new, by=optimizer) == [True, False, False, True]


def test_what_stays_is_known_by_itself():
    """Removed, moved within a group or to another one, or joined by others."""
    ws, optimizer = make(4, (1, 3), lambda ws: [{"params": ws[:2]}, {"params": ws[2:]}])
    first, second = optimizer.param_groups
    first["params"], second["params"] = [ws[3], ws[0]], [ws[2], ws[1]]
    assert decays(*ws, by=optimizer) == [True, False, True, False]
    del second["params"][1]  # an excluded one
    assert decays(ws[0], ws[2], ws[3], by=optimizer) == [True, True, False]
    more = ones()
    first["params"].append(more)
    assert decays(ws[0], ws[2], ws[3], more, by=optimizer) == [True, True, False, True]
    optimizer.add_param_group({"params": [last := ones()]})
    del optimizer.param_groups[1]
    assert decays(ws[0], ws[3], last, by=optimizer) == [True, False, True]


LOST = {
    "fewer": lambda group, ws: group.update(params=[ones(), ones()]),
    "more": lambda group, ws: group.update(params=[ones() for _ in range(4)]),
    "in another order": lambda group, ws: group.update(params=[ones(), ws[0], ws[2]]),
}


@pytest.mark.parametrize("change", LOST.values(), ids=LOST.keys())
def test_where_it_cannot_be_told_a_step_is_refused(change):
    ws, optimizer = make()
    optimizer.step()
    group = optimizer.param_groups[0]
    change(group, ws)
    before = [w.detach().clone() for w in group["params"]]
    for _ in range(2):
        with pytest.raises(ValueError, match="in no parameter group any more.*call exclude_from_weight_decay again"):
            optimizer.step()
    assert optimizer.iterations == 1
    assert all(map(torch.equal, before, group["params"]))
    optimizer.exclude_from_weight_decay(group["params"][:1])  # as the error says, although steps were done
    assert decays(*group["params"][:2], by=optimizer) == [False, True]


def test_a_group_of_its_own_without_decay_is_the_other_remedy():
    ws, optimizer = make()
    optimizer.step()
    new, other = ones(), ones()
    optimizer.param_groups[0]["params"] = [ws[0], ws[2]]
    optimizer.add_param_group({"params": [new], "weight_decay": 0.0})
    optimizer.add_param_group({"params": [other]})
    assert decays(ws[0], ws[2], new, other, by=optimizer) == [True, True, False, True]


def test_without_decay_nothing_is_asked():
    _, optimizer = make()
    group = optimizer.param_groups[0]
    group["weight_decay"] = None
    group["params"] = [ones(), ones()]
    optimizer.step()
    group["weight_decay"] = 0.5
    with pytest.raises(ValueError, match="in no parameter group any more"):
        optimizer.step()


def test_tensors_that_were_replaced_are_freed():
    optimizer = make()[1]
    seen = [weakref.ref(one) for one in optimizer.param_groups[0]["params"]]
    optimizer.param_groups[0]["params"] = [ones() for _ in range(3)]
    gc.collect()
    assert [one() for one in seen] == [None] * 3


def named(*names):
    return RMSprop([(name, ones()) for name in names], 0.125, weight_decay=0.5)


def test_names_go_with_the_places():
    optimizer = named("weight", "bias")
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.param_groups[0]["params"] = new = [ones(), ones()]
    assert decays(*new, by=optimizer) == [True, False]
    optimizer.param_groups[0]["params"] = new[1:]
    with pytest.raises(ValueError, match=r"param_groups\[0\] has 1 parameters and 2 param_names"):
        optimizer.step()
    optimizer.param_groups[0]["param_names"] = ["bias"]
    assert decays(new[1], by=optimizer) == [False]


def test_a_pattern_without_a_match_warns():
    optimizer = named("body.weight", "body.bias")
    with pytest.warns(UserWarning, match="is found in no variable") as caught:
        optimizer.exclude_from_weight_decay(var_names=["bias", "nope", "scale$"])
    for one, pattern in zip(caught, ["nope", "scale$"], strict=True):
        assert f"{pattern!r}, which is found in no variable's name: 'body.weight'" in str(one.message)
    assert {one.filename for one in caught} == {__file__}
    assert decays(*optimizer.param_groups[0]["params"], by=optimizer) == [True, False]


def test_patterns_hold_for_groups_that_come_later():
    optimizer = named("weight", "bias")
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.add_param_group({"params": [("head.weight", w := ones()), ("head.bias", b := ones())]})
    assert decays(w, b, by=optimizer) == [True, False]
