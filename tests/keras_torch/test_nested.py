"""A gradient that is no tensor of one shape, where the step before was an ordinary one."""

import keras
import pytest
import torch

from rmsprop.keras import RMSprop


def test_a_nested_gradient_is_refused():
    variable = keras.Variable(torch.ones(2, 3), name="w")
    optimizer = RMSprop(0.1)
    optimizer.build([variable])
    for _ in range(2):
        optimizer.apply([torch.ones(2, 3)], [variable])
    before = variable.value.detach().clone()
    with pytest.warns(UserWarning, match="nested tensors"):
        nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)])
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        optimizer.apply([nested], [variable])
    assert torch.equal(variable.value.detach(), before)
    optimizer.apply([torch.ones(2, 3)], [variable])
    assert int(optimizer.iterations.value) == 3
