"""Devices without a kernel of ours, for which torch's operations stand in: tried where no device is needed."""

import cases
import numpy
import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import array, parameters, step, tensor

from rmsprop._torch import engine, traced
from rmsprop.torch import RMSprop


@pytest.fixture
def no_kernels(monkeypatch):
    """Takes the CPU for a device without kernels."""
    monkeypatch.setattr(engine, "against_cpu", lambda item: "not here")


def test_meta_tensors_get_their_state():
    w = torch.nn.Parameter(torch.zeros(3, 2, device="meta"))
    w.grad = torch.zeros(3, 2, device="meta")
    optimizer = RMSprop([w], **EVERYTHING)
    optimizer.step()
    assert {one.device.type for one in optimizer.state[w].values()} == {"meta"}
    assert optimizer.iterations == 1


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("case", cases.PAIRWISE + cases.EXTREMES, ids=str)
@pytest.mark.matrix
def test_the_rule_on_tensors_goes_the_way_of_the_kernels(case, dtype, monkeypatch):
    """Torch's square root on the CPU is not always the nearest number, and norms it sums in an order of its own."""
    stacked, paths = cases.gradients(10, dtype), []
    for native in (True, False):
        if not native:
            monkeypatch.setattr(engine, "against_cpu", lambda item: "not here")
        named = parameters(cases.variables(dtype))
        optimizer = RMSprop(named.items(), **case.options)
        rows = {name: [] for name in named}
        for place in range(10):
            step(optimizer, named, cases.at(stacked, place))
            for name, w in named.items():
                rows[name].append(array(w))
        paths.append({name: numpy.stack(one) for name, one in rows.items()})
    # measured: 2.0e-7 and 1.1e-16
    assert cases.deviation(*paths) <= {numpy.float32: 5e-7, numpy.float64: 5e-16}[dtype]


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
@pytest.mark.matrix(2)
def test_other_types_and_sparse_gradients(dtype, monkeypatch):
    start = torch.tensor(numbers((6, 4))).to(dtype)
    gradient = torch.sparse_coo_tensor(
        [[1, 4, 1]], torch.tensor(numbers((3, 4), seed=1)).to(dtype), (6, 4), check_invariants=True
    )
    w, v = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    w.grad, v.grad = gradient, gradient.clone()
    RMSprop([w], 0.125, momentum=0.9, clipvalue=0.5).step()
    monkeypatch.undo()
    RMSprop([v], 0.125, momentum=0.9, clipvalue=0.5).step()
    assert torch.equal(w, v)


@pytest.mark.parametrize("scale", [None, 8.0])
def test_devices_may_be_mixed_and_share_the_global_norm(scale, monkeypatch):
    """Here the second of two parameters is taken for one on another device. A loss scale is undone by the step."""

    def run():
        named = [torch.nn.Parameter(tensor(numbers((4,), seed=seed))) for seed in range(3)]
        for seed, w in enumerate(named):
            w.grad = tensor(numbers((4,), seed=seed + 10))
        second.append(named[1])
        groups = [{"params": named[:2]}, {"params": named[2:], "lr": 0.25, "maximize": True}]
        optimizer = RMSprop(groups, 0.125, global_clipnorm=0.5, fused=scale and True)
        if scale is None:
            optimizer.step()
            return named
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        scaler.scale(torch.ones(()))  # it makes the scale
        for w in named:
            w.grad *= scale
        scaler.step(optimizer)
        return named

    second = []
    expected = run()
    monkeypatch.setattr(engine, "against_cpu", lambda item: "not here" * (item.variable is second[-1]))
    used = []
    original = traced.step
    monkeypatch.setattr(traced, "step", lambda items, scales: used.append(len(items)) or original(items, scales))
    for w, v in zip(run(), expected, strict=True):
        torch.testing.assert_close(w, v, rtol=1e-6, atol=0)  # measured: 1.2e-7, an ulp of the scale
    assert used == [1]


@pytest.mark.usefixtures("no_kernels")
def test_a_stale_graph_is_noticed():
    w = torch.nn.Parameter(torch.ones(3))
    w.grad = torch.ones(3)
    optimizer = RMSprop([w])
    loss = (w * w).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_torchs_operations_on_a_cuda_device_go_the_way_of_the_cpu(options):
    named = [[torch.nn.Parameter(tensor(numbers((4, 5), seed=seed)).to(device)) for seed in range(2)]
             for device in ("cpu", "cuda")]  # fmt: skip
    for mine in named:
        optimizer = RMSprop(mine, jit_compile=False, **options)
        for place in range(4):
            for w in mine:
                w.grad = tensor(numbers((4, 5), seed=place)).to(w.device)
            optimizer.step()
    for w, v in zip(*named, strict=True):
        torch.testing.assert_close(w, v.cpu(), rtol=1e-6, atol=1e-7)
