"""State dicts: round trips, other types and devices, refusals."""

import copy
import io

import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import tensor

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop


def model(dtype=torch.float32, seed=0):
    return [torch.nn.Parameter(tensor(numbers(shape, seed=seed)).to(dtype)) for shape in ((3, 2), (2,))]


def run(optimizer, steps, seed=0):
    for place in range(steps):
        for group in optimizer.param_groups:
            for at, w in enumerate(group["params"]):
                w.grad = tensor(numbers(w.shape, seed=seed + 10 * place + at)).to(w.dtype)
        optimizer.step()


def saved(state_dict):
    """Through a file, as weights only."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"lr": torch.tensor(0.25)}], ids=["plain", "everything", "tensor"])
def test_a_run_goes_on_bit_by_bit(options):
    one = model()
    optimizer = RMSprop(one, **options)
    run(optimizer, 2)
    other = [torch.nn.Parameter(w.detach().clone()) for w in one]
    again = RMSprop(other, **options)
    again.load_state_dict(saved(optimizer.state_dict()))
    assert again.iterations == 2
    for _ in range(2):
        run(optimizer, 1, 50)
        run(again, 1, 50)
    for w, v in zip(one, other, strict=True):
        assert torch.equal(w, v)
        assert optimizer.state[w].keys() == again.state[v].keys()


def test_what_it_holds():
    optimizer = RMSprop(model(), CosineDecay(0.5, 10), momentum=0.9)
    assert optimizer.state_dict()["state"] == {}
    run(optimizer, 1)
    found = optimizer.state_dict()
    assert {number: list(slots) for number, slots in found["state"].items()} == {
        0: ["velocity", "momentum"],
        1: ["velocity", "momentum"],
    }
    (group,) = found["param_groups"]
    assert (group["params"], group["iterations"], group["lr"]) == ([0, 1], 1, 0.5)
    assert "schedule" not in group
    assert "schedule" not in optimizer.param_groups[0]


def test_options_come_from_the_state_dict():
    optimizer = RMSprop(model(), 0.5, rho=0.5, weight_decay=0.1, momentum=0.5)
    run(optimizer, 1)
    again = RMSprop(model(), 0.25, momentum=0.9)
    again.load_state_dict(optimizer.state_dict())
    group = again.param_groups[0]
    assert [group[name] for name in ("lr", "rho", "weight_decay", "momentum")] == [0.5, 0.5, 0.1, 0.5]


def test_a_schedule_stays_and_goes_on_at_the_same_step():
    optimizer = RMSprop(model(), CosineDecay(0.5, 10))
    run(optimizer, 3)
    again = RMSprop(model(), CosineDecay(0.25, 10))
    again.load_state_dict(saved(optimizer.state_dict()))
    run(again, 1)
    assert again.param_groups[0]["lr"] == CosineDecay(0.25, 10)(3)


def test_loaded_state_is_a_copy():
    optimizer = RMSprop(model())
    run(optimizer, 1)
    found = optimizer.state_dict()
    before = copy.deepcopy(found)
    again = RMSprop(model())
    again.load_state_dict(found)
    run(again, 1)
    for number, slots in before["state"].items():
        assert torch.equal(found["state"][number]["velocity"], slots["velocity"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("slot_dtype", [None, "float32"])
def test_into_a_model_of_another_type(dtype, slot_dtype):
    optimizer = RMSprop(model(), slot_dtype=slot_dtype, use_ema=True)
    run(optimizer, 2)
    other = model(dtype)
    again = RMSprop(other, slot_dtype=slot_dtype, use_ema=True)
    again.load_state_dict(optimizer.state_dict())
    wanted = dtype if slot_dtype is None else torch.float32
    for number, w in enumerate(other):
        for slot, one in again.state[w].items():
            assert torch.equal(one, optimizer.state_dict()["state"][number][slot].to(wanted))
    run(again, 1)


def test_state_in_float32_of_bfloat16_parameters_is_not_rounded():
    """Torch's own way would round it to the parameter's type."""
    one = model(torch.bfloat16)
    optimizer = RMSprop(one, slot_dtype="float32")
    run(optimizer, 2)
    other = model(torch.bfloat16)
    again = RMSprop(other, slot_dtype="float32")
    again.load_state_dict(optimizer.state_dict())
    for w, v in zip(one, other, strict=True):
        assert torch.equal(optimizer.state[w]["velocity"], again.state[v]["velocity"])


def test_into_a_model_on_another_device():
    optimizer = RMSprop(model())
    run(optimizer, 1)
    other = [torch.nn.Parameter(w.to("meta")) for w in model()]
    again = RMSprop(other)
    again.load_state_dict(optimizer.state_dict())
    assert {again.state[w]["velocity"].device.type for w in other} == {"meta"}


def test_into_a_model_that_lies_otherwise():
    w = torch.nn.Parameter(tensor(numbers((2, 3, 4, 4))))
    v = torch.nn.Parameter(w.detach().to(memory_format=torch.channels_last))
    optimizer, again = RMSprop([w], momentum=0.5), RMSprop([v], momentum=0.5)
    run(optimizer, 1)
    with torch.no_grad():
        v.copy_(w)
    again.load_state_dict(optimizer.state_dict())
    assert again.state[v]["velocity"].stride() == v.stride()
    run(optimizer, 1, 5)
    run(again, 1, 5)
    assert torch.equal(w, v)


def test_only_some_parameters_have_state():
    one = model()
    optimizer = RMSprop(one)
    one[1].grad = torch.ones(2)
    optimizer.step()
    other = model()
    again = RMSprop(other)
    again.load_state_dict(optimizer.state_dict())
    assert list(again.state) == [other[1]]


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize(
    ("mine", "theirs", "lines"),
    [
        ({"momentum": 0.9}, {"centered": True}, ["momentum/w is missing", "average_gradient/w is not needed"]),
        ({"use_ema": True}, {}, ["average/w is missing, float32 [3, 2] is needed", "average/b is missing"]),
        ({}, {"momentum": 0.9}, ["momentum/w is not needed"]),
    ],
    ids=["momentum from centered", "average from plain", "plain from momentum"],
)
def test_other_slots_are_refused_and_listed(mine, theirs, lines, steps):
    names = ("w", "b")
    source = RMSprop(list(zip(names, model(), strict=True)), **theirs)
    run(source, steps)
    parameters = model()
    optimizer = RMSprop(list(zip(names, parameters, strict=True)), 0.25, **mine)
    run(optimizer, 1)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="the state dict does not fit this optimizer") as caught:
        optimizer.load_state_dict(source.state_dict())
    for line in lines:
        assert line in str(caught.value)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert torch.equal(after["state"][0]["velocity"], before["state"][0]["velocity"])


def test_other_shapes_are_refused():
    source = RMSprop(model())
    run(source, 1)
    optimizer = RMSprop([torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match=r"velocity/0 is float32 \[3, 2\], float32 \[2, 3\] is needed"):
        optimizer.load_state_dict(source.state_dict())


def test_the_state_dict_of_another_optimizer_is_refused():
    source = torch.optim.RMSprop(model())
    run(source, 1)
    optimizer = RMSprop(model())
    with pytest.raises(
        ValueError, match=r"not one of this optimizer: in its group 0, alpha=0\.99.*RMSprop\.from_optimizer"
    ):
        optimizer.load_state_dict(source.state_dict())


@pytest.mark.parametrize("done", [-3, 2.0, None, "2"])
def test_a_number_of_steps_that_is_none_is_refused(done):
    optimizer = RMSprop(model())
    damaged = optimizer.state_dict()
    damaged["param_groups"][0]["iterations"] = done
    with pytest.raises(ValueError, match=f"in its group 0, iterations={done!r} is no whole number of at least 0"):
        optimizer.load_state_dict(damaged)
    assert optimizer.iterations == 0


@pytest.mark.parametrize("key", ["state", "param_groups"])
def test_a_state_dict_without_a_part_is_refused(key):
    optimizer = RMSprop(model())
    damaged = optimizer.state_dict()
    del damaged[key]
    with pytest.raises(ValueError, match=f"a state dict has {key}, which this one lacks"):
        optimizer.load_state_dict(damaged)


def test_other_groups_are_refused_by_torch():
    source = RMSprop(model())
    with pytest.raises(ValueError, match="different number of parameter groups"):
        RMSprop([{"params": [w]} for w in model()]).load_state_dict(source.state_dict())
    with pytest.raises(ValueError, match="doesn't match the size"):
        RMSprop(model()[:1]).load_state_dict(source.state_dict())


def test_hooks_see_plain_tensors():
    optimizer = RMSprop(model())
    run(optimizer, 1)
    seen = []

    def before(mine, state_dict):
        seen.append(type(state_dict["state"][0]["velocity"]))
        return {**state_dict, "state": {0: {"velocity": torch.full((3, 2), 7.0)}}}

    again = RMSprop(model())
    again.register_load_state_dict_pre_hook(before)
    again.register_load_state_dict_post_hook(lambda mine: seen.append(mine.iterations))
    again.load_state_dict(optimizer.state_dict())
    assert seen == [torch.Tensor, 1]
    assert [one["velocity"].unique().tolist() for one in again.state.values()] == [[7.0]]


@pytest.mark.parametrize("again", ["deepcopy", "pickle"])
def test_copies_go_on_by_themselves(again):
    import pickle

    one = model()
    optimizer = RMSprop([("w", one[0]), ("b", one[1])], CosineDecay(0.5, 10), **EVERYTHING)
    optimizer.exclude_from_weight_decay([one[0]], ["^b$"])
    run(optimizer, 2)
    copied = copy.deepcopy if again == "deepcopy" else lambda both: pickle.loads(pickle.dumps(both))
    twin, other = copied((optimizer, one))
    run(optimizer, 2, 7)
    assert not torch.equal(one[0], other[0])
    run(twin, 2, 7)
    for w, v in zip(one, other, strict=True):
        assert torch.equal(w, v)
    assert twin.iterations == 4
    assert twin.param_groups[0]["lr"] == CosineDecay(0.5, 10)(3)


def test_the_iteration_is_saved_with_every_group_and_can_be_set():
    optimizer = RMSprop([{"params": [w]} for w in model()])
    optimizer.iterations = 41
    assert [group["iterations"] for group in optimizer.state_dict()["param_groups"]] == [41, 41]
    for value in (-1, 1.5, True, 2**63):
        with pytest.raises(ValueError, match=f"iterations={value!r}"):
            optimizer.iterations = value
    assert optimizer.iterations == 41
