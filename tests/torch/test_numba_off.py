"""Numba's own switch is off, as where the coverage of other code is measured."""

import pytest
import torch

from rmsprop.torch import RMSprop


@pytest.mark.filterwarnings("ignore:rmsprop steps without its compiled kernels")
def test_steps_go_on_with_dense_gradients(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("RMSPROP_NATIVE", "0")  # which native=True overrides
    found = []
    for jit_compile in (True, False):
        w = torch.nn.Parameter(torch.ones(3))
        optimizer = RMSprop([w], lr=0.1, jit_compile=jit_compile, native=True)
        for _ in range(3):
            w.grad = torch.full_like(w, 0.5)
            optimizer.step()
        found.append(w)
    assert torch.equal(*found)
