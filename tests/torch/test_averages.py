"""Averages: written into the parameters for good, or for an evaluation."""

import pytest
import torch
from arrays import numbers
from torch_runs import tensor

from rmsprop.torch import RMSprop


def make(**options):
    parameters = [torch.nn.Parameter(tensor(numbers((4,), seed=seed)).to(torch.bfloat16)) for seed in range(3)]
    for w in parameters[:2]:
        w.grad = torch.ones_like(w)
    optimizer = RMSprop(parameters, 0.5, slot_dtype="float32", **{"use_ema": True, "ema_momentum": 0.5} | options)
    optimizer.step()
    return parameters, optimizer


def test_finalize_writes_the_averages():
    parameters, optimizer = make()
    averages = [optimizer.state[w]["average"].clone() for w in parameters[:2]]
    last = parameters[2].detach().clone()
    optimizer.finalize_variable_values(parameters[:1])
    assert torch.equal(parameters[0].detach(), averages[0].bfloat16())
    assert not torch.equal(parameters[1].detach(), averages[1].bfloat16())
    optimizer.finalize_variable_values()
    assert torch.equal(parameters[1].detach(), averages[1].bfloat16())
    assert torch.equal(parameters[2].detach(), last)


def test_finalize_without_averages_does_nothing():
    parameters, optimizer = make(use_ema=False)
    before = [w.detach().clone() for w in parameters]
    optimizer.finalize_variable_values()
    assert all(torch.equal(w.detach(), old) for w, old in zip(parameters, before, strict=True))


def test_finalize_of_another_tensor():
    _, optimizer = make()
    with pytest.raises(ValueError, match=r"var_list holds a tensor of shape \[2\], which is not among"):
        optimizer.finalize_variable_values([torch.zeros(2)])


def test_averaged_weights_are_there_for_a_block():
    parameters, optimizer = make()
    trained = [w.detach().clone() for w in parameters]
    state = [{name: one.clone() for name, one in optimizer.state[w].items()} for w in parameters[:2]]
    with optimizer.averaged_weights():
        for w, slots, old in zip(parameters, state, trained, strict=False):
            assert torch.equal(w.detach(), slots["average"].bfloat16())
            assert not torch.equal(w.detach(), old)
    assert all(torch.equal(w.detach(), old) for w, old in zip(parameters, trained, strict=True))
    for w, slots in zip(parameters, state, strict=False):
        assert all(torch.equal(optimizer.state[w][name], one) for name, one in slots.items())


def test_trained_weights_come_back_after_an_error():
    parameters, optimizer = make()
    trained = parameters[0].detach().clone()
    with pytest.raises(RuntimeError, match="while evaluating"), optimizer.averaged_weights():
        raise RuntimeError("while evaluating")
    assert torch.equal(parameters[0].detach(), trained)


def test_backward_after_averaged_weights_raises_for_a_graph_from_before():
    parameters, optimizer = make()
    w = parameters[0]
    loss = (w * w).sum()
    with optimizer.averaged_weights():
        pass
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
