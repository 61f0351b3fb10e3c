"""Subnormal numbers under `torch.set_flush_denormal`: the bits of any other thread."""

import pytest
import torch
from modes import flushed, x86_linux

from rmsprop.torch import RMSprop

pytestmark = x86_linux

SIZE = 16384 * 64


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_flushing_changes_no_bit(threads, count, jit_compile):
    threads(count)
    gradient = torch.full((SIZE,), 1e-19)
    found = []
    for flush in (False, True, True):
        torch.set_flush_denormal(flush)
        w = torch.nn.Parameter(torch.zeros(SIZE))
        optimizer = RMSprop([w], lr=1e-3, epsilon=1e-40, momentum=0.5, jit_compile=jit_compile)
        for _ in range(2):
            w.grad = gradient
            optimizer.step()
        assert flushed() == flush
        found.append([one.detach().view(torch.int32) for one in (w, *optimizer.state[w].values()) if one.ndim])
    assert all((one != 0).all() for one in found[0])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
