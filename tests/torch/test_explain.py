"""`explain()` of the torch front end."""

import explanations
import pytest
import torch
from arrays import EVERYTHING

from rmsprop.torch import RMSprop


def parameters():
    return [(name, torch.nn.Parameter(torch.tensor(array))) for name, array in explanations.arrays().items()]


@pytest.mark.parametrize("case", explanations.TABLE["torch"], ids=str)
def test_switches(case, monkeypatch):
    explanations.check("torch", case, monkeypatch, lambda **arguments: RMSprop(parameters(), **arguments).explain())


class Split(torch.Tensor):
    """A tensor that stands for others."""

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        (torch.ones(3, device="meta"), "on the device meta"),
        (torch.Tensor._make_subclass(Split, torch.ones(3)), "a tensor subclass, Split"),
    ],
    ids=["meta", "subclass"],
)
def test_what_no_kernel_can_take(parameter, reason):
    w = torch.nn.Parameter(torch.ones(4))
    found = RMSprop([w, parameter.requires_grad_()]).explain()
    assert explanations.ways(found) == {"0": explanations.NATIVE, "1": ("traced", "", reason)}
    assert (found.launches, found.threads) == (1, torch.get_num_threads())


def all_kinds():
    """Parameters of several types and layouts, in groups of other options."""
    make = [
        torch.ones(5, 6), torch.ones(6, 5).t(), torch.ones(4, dtype=torch.bfloat16), torch.ones(6, 6)[:, ::2],
        torch.ones(3, dtype=torch.complex64), torch.tensor(1.0, dtype=torch.float64),
    ]  # fmt: skip
    parameters = [torch.nn.Parameter(one) for one in make]
    return [{"params": parameters[:3]}, {"params": parameters[3:], "maximize": True, "weight_decay": 0.125}]


@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, EVERYTHING], ids=["plain", "clipnorm", "everything"])
def test_launches_are_those_of_a_step(options, monkeypatch):
    optimizer = RMSprop(all_kinds(), 0.1, **options)
    before = optimizer.explain()
    for group in optimizer.param_groups:
        for w in group["params"]:
            w.grad = w.detach().clone(memory_format=torch.preserve_format)
    counted = explanations.Counted(monkeypatch)
    optimizer.step()
    # A clone has no gaps: for the one parameter that has some it does not lie as that does.
    assert counted.launches == before.launches
    assert optimizer.explain() == before


def test_parameters_that_share_memory_are_stepped_one_after_the_other():
    w = torch.ones(4)
    assert RMSprop([torch.nn.Parameter(w), torch.nn.Parameter(w)]).explain().launches == 2
    assert RMSprop([torch.nn.Parameter(w), torch.nn.Parameter(w.clone())]).explain().launches == 1


def test_options_as_groups_have_them_now():
    optimizer = RMSprop(parameters())
    assert list(optimizer.explain().variables["bias"].slots) == ["velocity"]
    optimizer.param_groups[0]["momentum"] = 0.9
    assert list(optimizer.explain().variables["bias"].slots) == ["velocity", "momentum"]
    optimizer.param_groups[0]["momentum"] = "much"
    with pytest.raises(TypeError, match="momentum"):
        optimizer.explain()


def test_nothing_is_made():
    optimizer = RMSprop(parameters(), use_ema=True)
    optimizer.explain()
    assert not optimizer.state
    assert optimizer.iterations == 0


def test_a_parameter_whose_memory_is_taken_away():
    (_, kernel), (_, bias) = parameters()
    optimizer = RMSprop([kernel, bias])
    kernel.untyped_storage().resize_(0)
    found = optimizer.explain()
    assert explanations.ways(found) == {"0": explanations.NATIVE, "1": explanations.NATIVE}
