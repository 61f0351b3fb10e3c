"""A step like the two before goes a short way; what is not as it was is noticed, and gives what a long way gives."""

import numpy
import pytest
import torch
from arrays import EVERYTHING

from rmsprop._torch import short_way
from rmsprop._torch.engine import Engine
from rmsprop.torch import RMSprop

SHAPES = [(3, 4), (5,), (), (0, 2)]


def made(**options):
    generator = torch.Generator().manual_seed(1)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return parameters, RMSprop(parameters, 0.1, **options)


def give(parameters, step):
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


@pytest.fixture
def long_steps(monkeypatch):
    """How many steps went the long way."""
    found, step = [], Engine._step
    monkeypatch.setattr(Engine, "_step", lambda *arguments: found.append(1) or step(*arguments))
    return found


def test_torch_has_what_it_needs():
    assert short_way.is_open()


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"maximize": True}], ids=["plain", "everything", "maximize"])
def test_steps_alike_go_the_short_way(options, long_steps):
    parameters, optimizer = made(**options)
    for step in range(5):
        give(parameters, step)
        optimizer.step()
    assert len(long_steps) == 2


def test_another_rate_goes_the_short_way(long_steps):
    parameters, optimizer = made()
    for step, rate in enumerate((0.1, 0.2, torch.tensor(0.3))):
        give(parameters, step)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    assert len(long_steps) == 2


def test_a_sparse_gradient_leaves_the_others_their_short_way(long_steps):
    parameters, optimizer = made(momentum=0.9)
    for step in range(4):
        give(parameters, step)
        rows = torch.tensor([[step % 3, 2, 2][: 1 + step]])
        parameters[0].grad = torch.sparse_coo_tensor(rows, torch.randn(rows.shape[1], 4), (3, 4), check_invariants=True)
        optimizer.step()
    assert len(long_steps) == 2


def other_memory(parameters, optimizer):
    parameters[0].data = parameters[0].data.clone()


def memory_of_another_type(parameters, optimizer):
    parameters[1].data = parameters[1].data.view(torch.int32).view(torch.float32).clone()[:5]


def another_order(parameters, optimizer):
    parameters[0].data = parameters[0].data.t().contiguous().t()
    parameters[0].grad = parameters[0].grad.t().contiguous().t()


def wider(parameters, optimizer):
    parameters[1].data = parameters[1].data.double()
    parameters[1].grad = torch.ones(5, dtype=torch.float64)


def a_wide_gradient(parameters, optimizer):
    parameters[1].grad = None
    parameters[1].grad = torch.full((5,), 0.5)[torch.arange(5)]


def a_gradient_of_strides(parameters, optimizer):
    parameters[0].grad = torch.arange(24.0).view(3, 8)[:, ::2]


def a_gradient_that_is_the_parameter(parameters, optimizer):
    parameters[0].grad = parameters[0].detach()


def a_gradient_on_another_parameter(parameters, optimizer):
    parameters[1].grad = parameters[0].detach().view(-1)[2:7]


def a_gradient_on_a_slot(parameters, optimizer):
    parameters[1].grad = optimizer.state[parameters[0]]["velocity"].view(-1)[:5]


def a_negated_gradient(parameters, optimizer):
    complex_ones = torch.complex(torch.zeros(5), torch.arange(5.0))
    parameters[1].grad = complex_ones.conj().imag
    assert parameters[1].grad.is_neg()


def a_negated_number(parameters, optimizer):
    parameters[2].grad = torch.complex(torch.zeros(()), torch.ones(())).conj().imag


def no_gradient(parameters, optimizer):
    parameters[1].grad = None


def a_sparse_gradient(parameters, optimizer):
    parameters[0].grad = torch.ones(3, 4).to_sparse(1)


def a_subclass(parameters, optimizer):
    class Mine(torch.Tensor):
        pass

    parameters[1].grad = torch.arange(5.0).as_subclass(Mine)


def another_slot(parameters, optimizer):
    state = optimizer.state[parameters[0]]
    state["velocity"] = state["velocity"] * 2


def other_memory_of_a_slot(parameters, optimizer):
    state = optimizer.state[parameters[0]]
    state["velocity"].data = state["velocity"].data * 2


def no_slot(parameters, optimizer):
    del optimizer.state[parameters[1]]


def another_option(parameters, optimizer):
    optimizer.param_groups[0]["rho"] = 0.5


def up(parameters, optimizer):
    optimizer.param_groups[0]["maximize"] = True


def swapped_tensors(parameters, optimizer):
    other = torch.nn.Parameter(torch.full((5,), 7.0))
    other.grad = torch.ones(5)
    torch.utils.swap_tensors(parameters[1], other)


def states_exchanged(parameters, optimizer):
    states = [*optimizer.state.items()]
    first, second = parameters[0], parameters[1]
    kept = {id(parameter): dict(state) for parameter, state in states}
    optimizer.state.clear()
    for parameter, _ in [(second, None), (first, None), *states[2:]]:
        optimizer.state[parameter] = kept[id(parameter)]


def a_slot_of_another_name(parameters, optimizer):
    state = optimizer.state[parameters[0]]
    state["speed"] = state.pop("velocity")


CHANGES = [
    other_memory, memory_of_another_type, another_order, wider, a_wide_gradient, a_gradient_of_strides,
    a_gradient_that_is_the_parameter, a_gradient_on_another_parameter, a_gradient_on_a_slot, a_negated_gradient,
    a_negated_number, no_gradient, a_sparse_gradient, a_subclass, another_slot, other_memory_of_a_slot, no_slot,
    another_option, up, swapped_tensors, states_exchanged, a_slot_of_another_name,
]  # fmt: skip


def trained(change, monkeypatch, closed):
    with monkeypatch.context() as patched:
        if closed:
            patched.setattr("rmsprop._torch.cpu.is_open", lambda: False)
        parameters, optimizer = made(momentum=0.9)
        for step in range(6):
            give(parameters, step)
            if step == 3:
                change(parameters, optimizer)
            optimizer.step()
        slots = [slot for parameter in parameters for slot in optimizer.state[parameter].values()]
        return [one.detach().resolve_neg().contiguous().numpy().tobytes() for one in (*parameters, *slots)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_not_as_it_was_is_noticed(change, monkeypatch):
    assert trained(change, monkeypatch, closed=False) == trained(change, monkeypatch, closed=True)


def two_alike(**options):
    one, other = (torch.nn.Parameter(torch.full((3,), value)) for value in (1.0, 2.0))
    return one, other, RMSprop([{"params": [one], "lr": 0.1}, {"params": [other], "lr": 0.001}], **options)


def steps(optimizer, parameters, count=2):
    for _ in range(count):
        for parameter in parameters:
            parameter.grad = torch.ones(3)
        optimizer.step()


@pytest.mark.parametrize("jit_compile", [True, False])
def test_state_of_the_other_parameter(jit_compile):
    """The same tensors in the same order, but each is the other parameter's."""
    one, other, optimizer = two_alike(jit_compile=jit_compile)
    steps(optimizer, [one, other])
    optimizer.state[one]["velocity"].fill_(9.0)
    states = dict(optimizer.state[one]), dict(optimizer.state[other])
    optimizer.state.clear()
    optimizer.state[other], optimizer.state[one] = states
    before = one.item() if one.numel() == 1 else one.detach().clone()
    steps(optimizer, [one, other], 1)
    moved = (before - one.detach())[0].item()
    velocity = 0.9 * (1 - 0.9**2) + 0.1
    assert moved == pytest.approx(0.1 / velocity**0.5, rel=1e-5)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_parameter_in_another_group_has_its_rate(jit_compile):
    one, two, three = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
    groups = [{"params": [one, two], "lr": 0.1}, {"params": [three], "lr": 0.001}]
    optimizer = RMSprop(groups, jit_compile=jit_compile)
    steps(optimizer, [one, two, three])
    optimizer.param_groups[1]["params"].insert(0, optimizer.param_groups[0]["params"].pop())
    before = two.detach().clone()
    steps(optimizer, [one, two, three], 1)
    assert 0 < (before - two.detach())[0].item() < 0.01


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_group_that_goes(jit_compile):
    one, frozen, three = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer = RMSprop([{"params": [each]} for each in (one, frozen, three)], 0.1, jit_compile=jit_compile)
    steps(optimizer, [one, three])
    del optimizer.param_groups[1]
    optimizer.param_groups[1]["lr"] = 0.0
    before = three.detach().clone()
    steps(optimizer, [one, three])
    assert torch.equal(three.detach(), before)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_groups_in_another_order(jit_compile):
    one, frozen = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = RMSprop([{"params": [one]}, {"params": [frozen]}], 0.1, jit_compile=jit_compile)
    steps(optimizer, [one])
    optimizer.param_groups.reverse()
    before = one.detach().clone()
    steps(optimizer, [one])
    assert (one.detach() < before).all()


@pytest.mark.parametrize("word", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_norm_that_comes_later_clips(jit_compile, word):
    """Where gradients are scaled already, because they go up."""
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([w], 0.1, maximize=True, jit_compile=jit_compile)
    steps(optimizer, [w], 1)
    optimizer.param_groups[0][word] = 1.0
    w.grad = torch.full((3,), 100.0)
    optimizer.step()
    assert optimizer.state[w]["velocity"][0].item() == pytest.approx(0.9 * 0.1 + 0.1 / 3)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_parameter_of_another_name_decays(jit_compile):
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([("bias", w)], 0.1, weight_decay=0.5, jit_compile=jit_compile)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(2):
        w.grad = torch.zeros(3)
        optimizer.step()
    assert (w == 1).all()
    optimizer.param_groups[0]["param_names"][0] = "kernel"
    optimizer.step()
    assert w[0].item() == pytest.approx(0.95)


def test_a_resized_storage_is_refused():
    parameters, optimizer = made()
    for step in range(2):
        give(parameters, step)
        optimizer.step()
    before = [parameter.detach().clone() for parameter in parameters[1:]]
    parameters[0].untyped_storage().resize_(4)
    give(parameters[1:], 2)
    with pytest.raises(ValueError, match="its storage was resized"):
        optimizer.step()
    assert optimizer.iterations == 2
    for parameter, value in zip(parameters[1:], before, strict=True):
        assert torch.equal(parameter.detach(), value)


def test_a_gradient_whose_storage_was_resized_is_refused():
    parameters, optimizer = made()
    for step in range(2):
        give(parameters, step)
        optimizer.step()
    give(parameters, 2)
    parameters[0].grad.untyped_storage().resize_(4)
    with pytest.raises(ValueError, match="its storage was resized"):
        optimizer.step()


def test_numbers_are_numpys():
    from rmsprop import RMSprop as ForArrays

    parameters, optimizer = made(**EVERYTHING)
    arrays = [parameter.detach().numpy().copy() for parameter in parameters]
    other = ForArrays(0.1, **EVERYTHING)
    for step in range(7):
        give(parameters, step)
        optimizer.step()
        other.apply_gradients(zip([one.grad.numpy() for one in parameters], arrays, strict=True))
    for parameter, array in zip(parameters, arrays, strict=True):
        numpy.testing.assert_array_equal(parameter.detach().numpy(), array)
