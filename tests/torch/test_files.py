"""`save` and `load` of the files that every front end reads."""

import copy
import warnings

import numpy
import pytest
import torch
from arrays import EVERYTHING
from safetensors.numpy import load_file

import rmsprop
from rmsprop import schedules
from rmsprop.torch import RMSprop


def model(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4, dtype=dtype), torch.nn.Linear(4, 2, dtype=dtype))


def steps(parameters, optimizer, count, seed=0):
    random = numpy.random.default_rng(seed)
    for _ in range(count):
        for parameter in parameters:
            values = random.normal(size=(*parameter.shape, 2) if parameter.is_complex() else parameter.shape)
            values = torch.tensor(values)
            parameter.grad = (torch.view_as_complex(values) if parameter.is_complex() else values).to(parameter.dtype)
        optimizer.step()


def equal(one, other):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


def state_of(optimizer):
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    return [tensor for one in parameters for _, tensor in sorted(optimizer.state[one].items())]


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64], ids=str
)
@pytest.mark.parametrize("named", [True, False])
def test_a_run_goes_on_bit_exactly(tmp_path, dtype, named):
    trained = model(dtype)
    optimizer = RMSprop(trained.named_parameters() if named else trained.parameters(), lr=0.125, **EVERYTHING)
    steps(trained.parameters(), optimizer, 4)
    optimizer.save(tmp_path / "run", variables=True, metadata={"epoch": "3"})
    other = model(dtype)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    again = RMSprop(other.named_parameters() if named else other.parameters(), **EVERYTHING)
    assert again.load(tmp_path / "run", variables=True) == {"epoch": "3"}
    assert (again.iterations, again.learning_rate) == (4, 0.125)
    for one, net in ((optimizer, trained), (again, other)):
        steps(net.parameters(), one, 4, seed=1)
    equal([*trained.parameters()], [*other.parameters()])
    equal(state_of(optimizer), state_of(again))


def test_tensors_have_the_parameters_names_or_numbers_over_all_groups(tmp_path):
    net = model()
    RMSprop(net.named_parameters()).save(tmp_path / "named")
    assert sorted(load_file(tmp_path / "named")) == [
        "velocity/0.bias", "velocity/0.weight", "velocity/1.bias", "velocity/1.weight",
    ]  # fmt: skip
    RMSprop([{"params": net[0].parameters()}, {"params": net[1].parameters()}]).save(tmp_path / "unnamed")
    assert sorted(load_file(tmp_path / "unnamed")) == [f"velocity/{number}" for number in range(4)]


def test_complex_numbers_are_pairs(tmp_path):
    w = torch.nn.Parameter(torch.tensor([1 + 2j]))
    RMSprop([w]).save(tmp_path / "run", variables=True)
    numpy.testing.assert_array_equal(load_file(tmp_path / "run")["variable/0"], [[1, 2]])


class TestUnstepped:
    def test_saves_what_it_starts_with_and_has_no_state(self, tmp_path):
        w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        optimizer = RMSprop([w], initial_velocity=0.5, use_ema=True, momentum=0.5)
        optimizer.save(tmp_path / "run")
        found = {name: array.tolist() for name, array in load_file(tmp_path / "run").items()}
        assert found == {"velocity/0": [0.5, 0.5], "average/0": [1, 2], "momentum/0": [0, 0]}
        assert not optimizer.state

    def test_makes_its_state_when_it_loads(self, tmp_path):
        w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        optimizer = RMSprop([w])
        steps([w], optimizer, 2)
        optimizer.save(tmp_path / "run")
        again = RMSprop([w])
        again.load(tmp_path / "run")
        equal(state_of(again), state_of(optimizer))

    def test_a_state_that_others_made_is_not_mistaken_for_a_step(self, tmp_path):
        """As `torch.distributed.checkpoint` makes it: averages start at the first step."""
        w = torch.nn.Parameter(torch.tensor([1.0]))
        optimizer = RMSprop([w], lr=0.0, use_ema=True)
        w.grad = torch.zeros(1)
        optimizer.step()
        with torch.no_grad():
            w.fill_(3.0)
        optimizer.save(tmp_path / "run")
        assert load_file(tmp_path / "run")["average/0"].tolist() == [3]
        again = RMSprop([w], use_ema=True, ema_momentum=0.5)
        with pytest.warns(UserWarning, match="ema_momentum=0.99 in the file, 0.5 here"):
            again.load(tmp_path / "run")
        with torch.no_grad():
            w.fill_(5.0)
        again.param_groups[0]["lr"] = 0.0
        w.grad = torch.ones(1)
        again.step()
        assert again.state[w]["average"].item() == 4  # of 3, which was loaded, and 5


class TestGroups:
    def groups(self, net, **options):
        return [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[1].parameters(), **options}]

    def test_each_has_its_own_rate_from_the_file(self, tmp_path):
        net = model()
        RMSprop(self.groups(net), lr=0.25).save(tmp_path / "run")
        again = RMSprop(self.groups(net), lr=1.0)
        again.param_groups[0]["lr"] = 1.0
        again.load(tmp_path / "run")
        assert [group["lr"] for group in again.param_groups] == [0.5, 0.25]

    def test_a_schedule_stays_where_it_rules(self, tmp_path):
        net, rate = model(), schedules.CosineDecay(1.0, 10)
        optimizer = RMSprop(self.groups(net), lr=0.25)
        optimizer.iterations = 4
        optimizer.save(tmp_path / "run")
        again = RMSprop(self.groups(net, lr=rate))
        again.load(tmp_path / "run")
        steps(net.parameters(), again, 1)
        assert again.param_groups[0]["lr"] == 0.5
        assert again.param_groups[1]["lr"] == pytest.approx(rate(4), abs=0)

    def test_options_are_compared_group_by_group(self, tmp_path):
        net = model()
        RMSprop(self.groups(net, rho=0.5), lr=0.25).save(tmp_path / "run")
        again = RMSprop(self.groups(net, maximize=True))
        with pytest.warns(UserWarning, match="was saved with other options") as caught:
            again.load(tmp_path / "run")
        assert str(caught[0].message).split("\n  ")[1:] == [
            "rho=0.5 in the file, 0.9 here in param_groups[1]",
            "maximize=False in the file, True here in param_groups[1]",
        ]

    def test_one_group_here_and_two_that_differ_in_the_file(self, tmp_path):
        net = model()
        RMSprop(self.groups(net, epsilon=0.5), lr=0.5).save(tmp_path / "run")
        again = RMSprop(net.parameters())
        with pytest.raises(ValueError, match="differ and are one here: epsilon=1e-07 and 0.5"):
            again.load(tmp_path / "run")
        assert not again.state

    def test_a_group_without_parameters_owns_nothing(self, tmp_path):
        net = model()
        RMSprop([*self.groups(net, lr=0.25), {"params": [], "lr": 4.0, "rho": 0.5}]).save(tmp_path / "run")
        again = RMSprop(self.groups(net))
        again.load(tmp_path / "run")
        assert [group["lr"] for group in again.param_groups] == [0.5, 0.25]

    def test_two_groups_here_and_one_in_the_file(self, tmp_path):
        net = model()
        RMSprop(net.parameters(), lr=0.125).save(tmp_path / "run")
        again = RMSprop(self.groups(net))
        again.load(tmp_path / "run")
        assert [group["lr"] for group in again.param_groups] == [0.125, 0.125]


def test_state_that_is_there_is_written_in_place(tmp_path):
    """A captured graph, or whoever holds it, sees the new numbers."""
    net = model()
    optimizer = RMSprop(net.parameters(), **EVERYTHING)
    steps(net.parameters(), optimizer, 2)
    optimizer.save(tmp_path / "run")
    held = state_of(optimizer)
    before = copy.deepcopy(held)
    steps(net.parameters(), optimizer, 2)
    optimizer.load(tmp_path / "run")
    assert all(one is other for one, other in zip(held, state_of(optimizer), strict=True))
    equal(held, before)


def test_a_rate_in_a_tensor_stays_that_tensor(tmp_path):
    w = torch.nn.Parameter(torch.ones(2))
    RMSprop([w], lr=0.125).save(tmp_path / "run")
    rate = torch.tensor(0.5)
    optimizer = RMSprop([w], lr=rate)
    optimizer.load(tmp_path / "run")
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.125


def test_a_refusal_changes_nothing(tmp_path):
    net = model()
    optimizer = RMSprop(net.parameters(), lr=0.5)
    optimizer.save(tmp_path / "run")
    again = RMSprop(net.parameters(), lr=0.25, momentum=0.5)
    steps(net.parameters(), again, 1)
    before = copy.deepcopy((state_of(again), again.param_groups))
    with pytest.raises(ValueError, match=r"momentum/0 is missing, float32 \[4, 3\] is needed"):
        again.load(tmp_path / "run")
    equal(state_of(again), before[0])
    assert again.iterations == 1
    assert again.learning_rate == 0.25


def test_what_is_not_all_here_is_refused(tmp_path):
    class Spread(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            raise AssertionError("nobody looks at its numbers")

    w = torch.ones(2).as_subclass(Spread).requires_grad_()
    optimizer = RMSprop([("w", w)])
    for method in ("save", "load"):
        with pytest.raises(ValueError, match=f"{method} cannot see all of parameter 'w', a Spread.*torch.distributed"):
            getattr(optimizer, method)(tmp_path / "run")
    meta = RMSprop([torch.nn.Parameter(torch.ones(2, device="meta"))])
    with pytest.raises(
        ValueError, match="save needs the numbers of parameter 0 of group 0, which is on the device meta"
    ):
        meta.save(tmp_path / "run")
    assert not [*tmp_path.iterdir()]


def test_numpy_reads_it_without_torch(tmp_path):
    net = model()
    optimizer = RMSprop(net.named_parameters(), **EVERYTHING)
    steps(net.parameters(), optimizer, 3)
    optimizer.save(tmp_path / "run", variables=True)
    arrays = {name: numpy.zeros(tuple(one.shape), "f4") for name, one in net.named_parameters()}
    again = rmsprop.RMSprop(**EVERYTHING)
    again.build(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.load(tmp_path / "run", variables=True)
    for name, one in net.named_parameters():
        numpy.testing.assert_array_equal(arrays[name], one.detach().numpy())
