"""`RMSprop.from_optimizer` with torch's own RMSprop; those of other libraries are in `tests/clients`."""

import copy
import warnings

import pytest
import torch
from processes import run

from rmsprop.torch import RMSprop

ROWS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "everything": {"momentum": 0.5, "centered": True, "maximize": True, "alpha": 0.9},
}
rows = pytest.mark.parametrize("options", ROWS.values(), ids=ROWS)


def parameters(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = [(4, 3), (5,), ()]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]


def train(optimizer, steps, seed):
    """Steps with gradients around 1, beside whose square the root's epsilon is nothing."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                mean = 1 + 1j if parameter.is_complex() else 1
                parameter.grad = mean + torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        optimizer.step()


def converted(other, match="epsilon"):
    with pytest.warns(UserWarning, match=match) as caught:
        optimizer = RMSprop.from_optimizer(other)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return optimizer


def quiet(other):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RMSprop.from_optimizer(other)


def copied(other):
    """Another optimizer on parameters of its own, at the same place."""
    twin = copy.deepcopy(other)
    return twin, [parameter for group in twin.param_groups for parameter in group["params"]]


@rows
# Measured: with 0, 2.7e-15, rounding; otherwise 10.03 * eps, which is what the epsilon adds to the roots, of 0.4 to 1,
# summed over 20 steps with momentum.
@pytest.mark.parametrize(("eps", "tolerance"), [(0.0, 1e-14), (1e-12, 2e-11), (1e-8, 2e-7)])
def test_goes_on_as_the_original_where_epsilon_is_nothing(options, eps, tolerance):
    mine = parameters()
    other = torch.optim.RMSprop(mine, lr=0.01, eps=eps, **options)
    train(other, 5, seed=2)
    twin, theirs = copied(other)
    optimizer = quiet(other)
    assert optimizer.iterations == 5
    train(optimizer, 20, seed=3)
    train(twin, 20, seed=3)
    for one, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=tolerance)


def test_complex_parameters_go_on():
    mine = parameters(torch.complex128)
    other = torch.optim.RMSprop(mine, lr=0.01, eps=0.0, momentum=0.9, centered=True)
    train(other, 5, seed=2)
    twin, theirs = copied(other)
    optimizer = quiet(other)
    train(optimizer, 20, seed=3)
    train(twin, 20, seed=3)
    for one, expected in zip(mine, theirs, strict=True):
        # Measured: 3.2e-15, rounding.
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-14)


def test_where_velocity_is_nothing_epsilon_is_the_same():
    """A gradient of 0 and one far below eps, whose square is nothing beside epsilon: both divide by eps alone."""
    mine = [torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    other = torch.optim.RMSprop(mine, lr=0.5, eps=1e-3)
    twin, theirs = copied(other)
    optimizer = converted(other, "eps=0.001 .* epsilon=1e-06")
    for one in (mine[0], theirs[0]):
        one.grad = torch.tensor([0.0, 1e-12], dtype=torch.float64)
    optimizer.step()
    twin.step()
    # Measured: 1.0e-10 of the step, which is the root of the velocity, 1e-13, beside eps.
    torch.testing.assert_close(mine[0], theirs[0], rtol=2e-10, atol=0)
    assert mine[0].detach().tolist() == pytest.approx([0.0, -5e-10])


@pytest.mark.parametrize("eps", [1e-30, 1e-160])
def test_an_epsilon_whose_square_is_0_stays_above_0(eps):
    mine = [torch.nn.Parameter(torch.ones(2))]
    optimizer = converted(torch.optim.RMSprop(mine, eps=eps))
    mine[0].grad = torch.zeros(2)
    optimizer.step()
    assert mine[0].tolist() == [1.0, 1.0]


def test_groups_options_and_entries_of_the_users_own():
    one, two, three = parameters()
    other = torch.optim.RMSprop(
        [
            {"params": [("one", one)], "lr_scale": 0.5, "alpha": 0.5},
            {"params": [("two", two), ("three", three)], "lr": 0.25, "centered": True, "eps": 0.0},
        ],
        lr=0.125,
        momentum=0.75,
    )
    torch.optim.lr_scheduler.ConstantLR(other, factor=0.5)
    optimizer = converted(other)
    first, second = optimizer.param_groups
    assert (first["params"], second["params"]) == ([one], [two, three])
    assert (first["param_names"], second["param_names"]) == (["one"], ["two", "three"])
    expected = [(0.0625, 0.125, 0.5, 1e-8**2, False, 0.5), (0.125, 0.25, 0.99, 0.0, True, None)]
    entries = ("lr", "initial_lr", "rho", "epsilon", "centered", "lr_scale")
    assert [tuple(group.get(entry) for entry in entries) for group in (first, second)] == expected
    assert not {"alpha", "eps"} & {*first, *second}
    optimizer.add_param_group({"params": [("four", torch.nn.Parameter(torch.ones(2)))]})
    assert [optimizer.param_groups[2][entry] for entry in ("lr", "rho", "momentum")] == [0.125, 0.99, 0.75]


def test_the_state_is_a_copy_in_the_layout_of_the_parameter():
    (mine,) = [torch.nn.Parameter(torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last))]
    other = torch.optim.RMSprop([mine], lr=0.5, momentum=0.5, centered=True)
    train(other, 2, seed=2)
    theirs = other.state[mine]
    state = converted(other).state[mine]
    assert [*state] == ["velocity", "momentum", "average_gradient"]
    assert all(slot.is_contiguous(memory_format=torch.channels_last) for slot in state.values())
    before = {name: slot.clone() for name, slot in state.items()}
    assert torch.equal(state["momentum"], theirs["momentum_buffer"] * 0.5)
    assert torch.equal(state["velocity"], theirs["square_avg"])
    assert torch.equal(state["average_gradient"], theirs["grad_avg"])
    train(other, 1, seed=3)
    assert all(torch.equal(slot, before[name]) for name, slot in state.items())


def test_a_tensor_learning_rate_stays_the_tensor():
    rate = torch.tensor(0.25)
    mine = parameters()
    other = torch.optim.RMSprop(mine, lr=rate, momentum=0.5)
    train(other, 1, seed=2)
    optimizer = converted(other)
    assert optimizer.param_groups[0]["lr"] is rate
    assert torch.equal(optimizer.state[mine[0]]["momentum"], other.state[mine[0]]["momentum_buffer"] * 0.25)


def test_before_its_first_step():
    mine = parameters()
    optimizer = converted(torch.optim.RMSprop(mine))
    assert (optimizer.iterations, len(optimizer.state)) == (0, 0)
    train(optimizer, 1, seed=2)
    assert optimizer.iterations == 1


@rows
def test_averages_which_the_original_lacks_start_at_the_parameters(options):
    """After steps of the original: with a decay of 0.5 they are the mean of the parameters before and after a step."""
    mine = parameters()
    other = torch.optim.RMSprop(mine, lr=0.01, eps=0.0, **options)
    train(other, 5, seed=2)
    twin, theirs = copied(other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = RMSprop.from_optimizer(other, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None)
    before = [one.detach().clone() for one in mine]
    train(optimizer, 1, seed=3)
    train(twin, 1, seed=3)
    for one, start, expected in zip(mine, before, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-14)
        torch.testing.assert_close(optimizer.state[one]["average"], (start + one) / 2, rtol=0, atol=1e-15)


def test_what_cannot_be_equal_is_said():
    mine = parameters()
    converted(torch.optim.RMSprop(mine, weight_decay=0.5), "weight_decay=0.5 is added to the gradient")
    converted(torch.optim.RMSprop(mine, momentum=0.5, eps=0.0), "the learning rate multiplies the momentum")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RMSprop.from_optimizer(torch.optim.RMSprop(mine, eps=0.0))


def test_what_the_warning_advises_for_weight_decay_gives_the_same():
    mine = parameters()
    other = torch.optim.RMSprop(mine, lr=0.01, eps=0.0, weight_decay=0.25)
    train(other, 3, seed=2)
    twin, theirs = copied(other)
    optimizer = converted(other, "set it to 0")
    optimizer.param_groups[0]["weight_decay"] = 0
    for each, chosen, penalty in ((twin, theirs, 0.0), (optimizer, mine, 0.25)):
        each.zero_grad()
        sum(((1 + parameter) ** 2).sum() + penalty / 2 * (parameter**2).sum() for parameter in chosen).backward()
        each.step()
    for one, expected in zip(mine, theirs, strict=True):
        # Measured: 1.1e-16, rounding.
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-15)


def test_in_a_new_process_no_library_is_imported_to_know_a_class():
    """And one is known whose step torch wraps before that of the class it comes from."""
    loaded = run("""
        import sys, torch
        from rmsprop.torch import RMSprop
        class Derived(torch.optim.RMSprop):
            pass
        RMSprop.from_optimizer(Derived([torch.nn.Parameter(torch.ones(1))], eps=0.0))
        print({"timm", "stable_baselines3"} & set(sys.modules))
    """)
    assert loaded == "set()"


class Derived(torch.optim.RMSprop):
    pass


class Other(torch.optim.RMSprop):
    def step(self, closure=None):
        return None


class Wrapping(torch.optim.Optimizer):
    def __init__(self, inner):
        self.optimizer = inner


def test_a_class_with_the_same_step_is_known():
    mine = parameters()
    assert converted(Derived(mine, lr=0.5)).learning_rate == 0.5


@pytest.mark.parametrize("kind", [torch.optim.Adam, Other, RMSprop])
def test_other_classes_are_refused(kind):
    expected = r"from_optimizer knows torch.optim.RMSprop, timm.*RMSpropTF, .*RMSpropTFLike, and not .*" + kind.__name__
    with pytest.raises(TypeError, match=expected):
        RMSprop.from_optimizer(kind(parameters()))


def test_a_wrapper_is_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"its \.optimizer"):
        RMSprop.from_optimizer(Wrapping(torch.optim.RMSprop(parameters())))
    with pytest.raises(TypeError, match="and not builtins.int"):
        RMSprop.from_optimizer(1)


def test_options_that_have_no_meaning_here_are_refused():
    with pytest.raises(ValueError, match="differentiable=True"):
        RMSprop.from_optimizer(torch.optim.RMSprop(parameters(), differentiable=True))
    with (
        pytest.warns(UserWarning, match="epsilon"),
        pytest.raises(ValueError, match=r"rho=1\.5 is not a finite number at least 0 and at most 1"),
    ):
        RMSprop.from_optimizer(torch.optim.RMSprop(parameters(), alpha=1.5))
