"""State dicts, pickles and groups without an entry: it has its default, as a version that did not know it was like."""

import copy

import numpy
import pytest
import torch
from arrays import EVERYTHING

from rmsprop.torch import RMSprop

DEFAULTS = RMSprop([torch.nn.Parameter(torch.ones(1))]).param_groups[0]
ENTRIES = [name for name in DEFAULTS if name != "params"]
#: With none of these at its default; at most one clip.
OPTIONS = EVERYTHING | {"lr": 0.25, "maximize": True, "capturable": True}


def make(**options):
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.ones(2)
    return w, RMSprop([w], **options)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_state_dict_without_an_entry(entry, steps):
    _, saved = make(**OPTIONS)
    for _ in range(steps):
        saved.step()
    state_dict = copy.deepcopy(saved.state_dict())
    del state_dict["param_groups"][0][entry]
    _, optimizer = make(**OPTIONS)
    optimizer.load_state_dict(state_dict)
    assert optimizer.param_groups[0][entry] == DEFAULTS[entry]
    others = {name: value for name, value in saved.param_groups[0].items() if name not in (entry, "params")}
    assert {name: optimizer.param_groups[0][name] for name in others} == others
    optimizer.step()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_pickle_without_an_entry(entry):
    _, saved = make(**OPTIONS)
    saved.step()
    del saved.param_groups[0][entry]
    saved.defaults.pop(entry, None)
    # What a copy is made of, as an earlier version would have written it.
    kind, arguments, state = saved.__reduce_ex__(2)[:3]
    state["param_groups"][0].pop(entry, None)
    state["defaults"].pop(entry, None)
    again = kind(*arguments)
    again.__setstate__(copy.deepcopy(state))
    assert again.param_groups[0][entry] == DEFAULTS[entry]
    again.param_groups[0]["params"][0].grad = torch.ones(2)
    again.step()
    again.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_group_without_an_entry_has_the_optimizers(entry):
    """As one has that is added by `add_param_group`; whether it lost the entry, or came without any."""
    w, optimizer = make(**OPTIONS)
    v, whole = make(**OPTIONS)
    for one in (optimizer, whole):
        one.step()
    kept = optimizer.param_groups[0].pop(entry)
    u = torch.nn.Parameter(torch.ones(2))
    optimizer.param_groups.append({"params": [u]})
    for one in (optimizer, whole):
        one.step()
    assert torch.equal(w, v)
    for group in optimizer.param_groups:
        assert group[entry] == (2 if entry == "iterations" else kept)


def test_the_steps_done_are_those_of_another_group():
    ws = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    saved = RMSprop([{"params": [w]} for w in ws])
    saved.iterations = 7
    state_dict = copy.deepcopy(saved.state_dict())
    del state_dict["param_groups"][0]["iterations"]
    saved.iterations = 0
    saved.load_state_dict(state_dict)
    assert saved.iterations == 7


def test_another_optimizers_group_is_not_completed():
    w, optimizer = make()
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adadelta, torch.optim.Rprop):
        with pytest.raises(ValueError, match="not one of this optimizer"):
            optimizer.load_state_dict(kind([w]).state_dict())


NUMBERS = {
    "lr": numpy.float32(0.25), "rho": numpy.float64(0.5), "momentum": numpy.float16(0.5), "centered": numpy.True_,
    "weight_decay": numpy.array(0.5), "clipvalue": numpy.float64(0.5), "use_ema": numpy.bool_(True),
    "ema_overwrite_frequency": numpy.int64(3), "maximize": numpy.False_, "slot_dtype": numpy.str_("float32"),
    "ema_momentum": torch.tensor(0.5), "epsilon": numpy.float64(0.5), "initial_velocity": numpy.int32(1),
}  # fmt: skip


@pytest.mark.parametrize("way", ["constructor", "group", "later", "unread"])
@pytest.mark.parametrize("name", NUMBERS)
def test_numpys_numbers_are_pythons_in_groups_and_state_dicts(name, way):
    value = NUMBERS[name]
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.ones(2)
    given = {name: value}
    optimizer = RMSprop(
        [{"params": [w], **(given if way == "group" else {})}], **(given if way == "constructor" else {})
    )
    if way in ("later", "unread"):
        optimizer.param_groups[0][name] = value
    if way != "unread":
        optimizer.step()
    places = [optimizer.state_dict()["param_groups"][0], *([] if way == "unread" else optimizer.param_groups)]
    if way == "constructor":
        places.append(optimizer.defaults)
    for place in places:
        assert type(place[name]) is type(value.item())
        assert place[name] == value.item()
