"""What a step does besides moving weights: closures, hooks, gradients that are missing, autograd."""

import explanations
import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import tensor

from rmsprop.torch import RMSprop

DESCENT = {"rho": 1.0, "epsilon": 1.0}


def make(shape=(5,)):
    w = torch.nn.Parameter(tensor(numbers(shape)))
    w.grad = tensor(numbers(shape, seed=1))
    return w


def test_a_closure_is_called_first_with_gradients_enabled_and_its_loss_returned():
    w = torch.nn.Parameter(torch.tensor(10.0))
    optimizer = RMSprop([w], 0.5, **DESCENT)

    def closure():
        optimizer.zero_grad()
        loss = w**2 / 2
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 50
    assert w.item() == 5
    assert optimizer.step() is None


def test_minimize_takes_a_function_or_a_tensor():
    w = torch.nn.Parameter(torch.tensor(10.0))
    optimizer = RMSprop([w], 0.5, **DESCENT)
    assert optimizer.minimize(lambda: w**2 / 2).item() == 50
    assert optimizer.minimize(w**2 / 2).item() == 12.5
    assert w.item() == 2.5
    with pytest.raises(TypeError, match="loss=3 is neither a tensor nor a function"):
        optimizer.minimize(3)
    assert optimizer.iterations == 2


def test_hooks_run_once_and_see_the_step():
    w = make()
    optimizer, seen = RMSprop([w]), []
    optimizer.register_step_pre_hook(lambda one, args, kwargs: seen.append(("before", one.iterations)))
    optimizer.register_step_post_hook(lambda one, args, kwargs: seen.append(("after", one.iterations)))
    optimizer.step()
    assert seen == [("before", 0), ("after", 1)]


def test_a_parameter_without_gradient_is_left_out_of_everything():
    """Without a warning: in torch, None is what frozen and unused parameters have."""
    one, other = make(), make()
    optimizer = RMSprop([one, other], **EVERYTHING)
    optimizer.step()
    before = {name: slot.clone() for name, slot in optimizer.state[other].items()} | {"w": other.detach().clone()}
    for _ in range(2):
        one.grad, other.grad = torch.ones(5), None
        optimizer.step()
    assert all(torch.equal(before[name], slot) for name, slot in optimizer.state[other].items())
    assert torch.equal(other.detach(), before["w"])
    assert optimizer.iterations == 3
    other.grad = torch.ones(5)
    optimizer.step()
    assert not torch.equal(other.detach(), before["w"])


def test_gradients_that_come_and_go_use_their_plans_again(monkeypatch):
    one, other = make(), make()
    optimizer = RMSprop([one, other])
    counted = explanations.Counted(monkeypatch)
    for _ in range(3):
        for gradients in ((True, True), (True, False), (False, True)):
            for w, has in zip((one, other), gradients, strict=True):
                w.grad = torch.ones(5) if has else None
            optimizer.step()
    assert (counted.made, counted.launches) == (3, 9)
    assert optimizer.iterations == 9


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_no_gradient_at_all_is_no_step(options):
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([w], **options)
    optimizer.step()
    assert (w.tolist(), optimizer.iterations, len(optimizer.state)) == ([1, 1, 1], 0, 0)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    w = make()
    RMSprop([w]).zero_grad(set_to_none)
    assert w.grad is None if set_to_none else w.grad.tolist() == [0] * 5


def test_backward_through_a_stale_graph_raises():
    """The kernel writes where torch does not see it; the version of everything written says so."""
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = RMSprop([w], momentum=0.5, use_ema=True)
    w.grad = torch.ones(3)
    optimizer.step()
    for _ in range(2):  # the first time on the long way, then on the short one
        loss = (w * w).sum()
        versions = {name: one._version for name, one in optimizer.state[w].items()}
        w.grad = torch.ones(3)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        assert all(one._version > versions[name] for name, one in optimizer.state[w].items())


def test_gradients_stay_as_they_are():
    w = make()
    before = w.grad.clone()
    RMSprop([w], clipvalue=0.1, maximize=True).step()
    assert torch.equal(w.grad, before)


def test_a_gradient_that_requires_gradients():
    """As `backward(create_graph=True)` leaves it."""
    w = torch.nn.Parameter(torch.ones(3))
    (gradient,) = torch.autograd.grad((w**3).sum(), [w], create_graph=True)
    w.grad = gradient
    RMSprop([w], 0.5, **DESCENT).step()
    assert w.tolist() == [-0.5] * 3


def test_old_gradients_are_let_go():
    import weakref

    w = make()
    optimizer = RMSprop([w])
    for _ in range(2):
        w.grad = torch.ones(5)
        seen = weakref.ref(w.grad)
        optimizer.step()
        w.grad = None
        assert seen() is None


def test_under_inference_mode():
    w = make()
    optimizer = RMSprop([w])
    before = w.detach().clone()
    with torch.inference_mode():
        optimizer.step()
        optimizer.step()
    assert not torch.equal(w.detach(), before)


def test_the_plain_rule_gives_the_same_bits():
    kernel, rule = make((30, 700)), make((30, 700))
    first, second = RMSprop([kernel], **EVERYTHING), RMSprop([rule], jit_compile=False, **EVERYTHING)
    for _ in range(4):
        first.step()
        second.step()
    assert torch.equal(kernel, rule)


def test_what_a_refused_gradient_leaves_behind():
    """All are looked at before any is stepped."""
    one, other = make(), make()
    optimizer = RMSprop([("one", one), ("other", other)])
    optimizer.step()
    before = one.detach().clone()
    one.grad, other.grad = torch.ones(5), torch.ones(5)
    other.grad.data = torch.ones(4)
    with pytest.raises(ValueError, match=r"gradient of parameter 'other' has the shape \[4\]"):
        optimizer.step()
    assert torch.equal(one.detach(), before)
    assert optimizer.iterations == 1
