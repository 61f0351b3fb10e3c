"""What is in `param_groups` is for others to copy, flatten, save and compare; a schedule stays out of it, and rules."""

import copy
import pickle

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict
from torch_entries import parameter, rates, saved, steps

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

SCHEDULE = CosineDecay(0.5, 10)
FLAT = StateDictOptions(flatten_optimizer_state_dict=True)


@pytest.mark.parametrize("rate", [SCHEDULE, lambda step: 0.5 / (1 + step)], ids=["schedule", "function"])
@pytest.mark.parametrize("way", ["constructor", "group", "attribute", "entry"])
def test_groups_hold_plain_values_only(rate, way):
    w = parameter()
    optimizer = RMSprop(
        [{"params": [w], "lr": rate}] if way == "group" else [w], rate if way == "constructor" else 0.25
    )
    if way == "attribute":
        optimizer.learning_rate = rate
    if way == "entry":
        optimizer.param_groups[0]["lr"] = rate
    state_dict = optimizer.state_dict()  # before a step too
    for group in (*optimizer.param_groups, optimizer.defaults, *saved(state_dict)["param_groups"]):
        kinds = {type(value) for key, value in group.items() if key != "params"}
        assert kinds <= {float, int, bool, str, type(None)}
    steps(optimizer, 3)
    assert rates(optimizer) == [rate(2)]


@pytest.mark.parametrize("value", ["cosine", 5.0, lambda step: 5.0, None, SCHEDULE], ids=str)
def test_an_entry_schedule_is_the_users_own(value):
    w, v = parameter(), parameter()
    optimizer, plain = RMSprop([{"params": [w], "lr": 0.25, "schedule": value}]), RMSprop([v], 0.25)
    steps(optimizer, 2)
    steps(plain, 2)
    assert torch.equal(w, v)
    again = RMSprop([{"params": [parameter()], "schedule": "other"}])
    again.load_state_dict(optimizer.state_dict())
    copied = copy.deepcopy(again)
    assert [one.param_groups[0]["schedule"] for one in (optimizer, again, copied)] == [value] * 3
    assert rates(again) == [0.25]


GROUPS = {
    "one rate": lambda m: RMSprop(m.parameters(), 0.25),
    "a rate each": lambda m: RMSprop([{"params": [m.weight], "lr": 0.25}, {"params": [m.bias], "lr": 0.5}]),
    "some": lambda m: RMSprop([{"params": [m.weight]}, {"params": [m.bias], "lr": 0.5}], SCHEDULE),
    "schedule": lambda m: RMSprop(m.parameters(), SCHEDULE, momentum=0.5),
    "names": lambda m: RMSprop(m.named_parameters(), SCHEDULE, use_ema=True),
}


@pytest.mark.parametrize("make", GROUPS.values(), ids=GROUPS.keys())
def test_a_flattened_state_dict_goes_round(make):
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    optimizer, again = make(one), make(other)
    steps(optimizer, 2)
    other.load_state_dict(one.state_dict())
    set_optimizer_state_dict(
        other, again, copy.deepcopy(get_optimizer_state_dict(one, optimizer, options=FLAT)), options=FLAT
    )
    steps(optimizer, 2)
    steps(again, 2)
    assert rates(optimizer) == rates(again)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_groups_that_others_replace_keep_their_schedules():
    """As Lightning's callbacks for fine-tuning do, from what a checkpoint holds."""
    w, v = parameter(), parameter()
    optimizer = RMSprop([{"params": [w]}, {"params": [v], "lr": 0.25}], SCHEDULE)
    steps(optimizer, 1)
    optimizer.param_groups = [dict(group) for group in reversed(optimizer.param_groups)]
    steps(optimizer, 1)
    assert rates(optimizer) == [0.25, SCHEDULE(1)]
    fresh = [parameter(), parameter()]  # with other parameters, the place is what a group is known by
    optimizer.param_groups = [dict(group, params=[u]) for group, u in zip(optimizer.param_groups, fresh, strict=True)]
    steps(optimizer, 1)
    assert rates(optimizer) == [0.25, SCHEDULE(2)]
    del optimizer.param_groups[0]
    steps(optimizer, 1)
    optimizer.param_groups.append(dict(optimizer.param_groups[0], params=[parameter()], lr=0.125))
    steps(optimizer, 1)
    assert rates(optimizer) == [SCHEDULE(4), 0.125]


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))], ids=["copy", "pickle"]
)
def test_copies_have_the_schedules(again):
    optimizer = RMSprop([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.25}], SCHEDULE)
    steps(optimizer, 2)
    twin = again(optimizer)
    twin.add_param_group({"params": [parameter()]})
    steps(twin, 1)
    assert rates(twin) == [SCHEDULE(2), 0.25, SCHEDULE(2)]


def test_a_state_dict_of_an_earlier_version_loads():
    """Groups had an entry of ours, None without a schedule, which some tools saved."""
    optimizer = RMSprop([parameter()], SCHEDULE)
    steps(optimizer, 3)
    for value in (None, SCHEDULE):
        old = copy.deepcopy(optimizer.state_dict())
        old["param_groups"][0]["schedule"] = value
        again = RMSprop([parameter()], 0.25)
        again.load_state_dict(old)
        assert "schedule" not in again.param_groups[0]
        steps(again, 1)
        assert rates(again) == [SCHEDULE(2)]


@pytest.mark.parametrize("done", [-1, 2**63, 1.5, "2"])
def test_a_number_of_steps_that_is_written_into_a_group_is_checked(done):
    w = parameter()
    optimizer = RMSprop([w], 0.25)
    steps(optimizer, 2)
    before = w.detach().clone()
    optimizer.param_groups[0]["iterations"] = done
    w.grad = torch.ones_like(w)
    for use in (optimizer.step, optimizer.state_dict, lambda: optimizer.iterations):
        with pytest.raises(ValueError, match=f"iterations={done!r} is not a whole number from 0"):
            use()
    assert torch.equal(w, before)
