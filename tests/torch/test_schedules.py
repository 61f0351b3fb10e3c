"""The schedules with torch's steps: its types, its devices, torch.compile."""

import numpy as np
import pytest
import torch

from rmsprop.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

STEPS = np.arange(1201)
# Each row: a schedule and its largest mismatch in float32 as a part of the largest rate, about twice the measured one.
ROWS = [
    (ExponentialDecay(0.1, 100, 0.96), 5e-7),  # 2.1e-7
    (ExponentialDecay(0.1, 41, 0.5, staircase=True), 5e-8),  # 1.5e-8
    (PiecewiseConstantDecay([10, 300], [1.0, 0.5, 0.1]), 1e-8),  # 1.5e-9
    (PolynomialDecay(0.1, 700, power=0.5), 1e-6),  # 3.6e-7, the root of a rounded difference
    (PolynomialDecay(0.1, 41, 0.01, 0.5, cycle=True), 1e-6),  # 4.2e-7, the same
    (InverseTimeDecay(0.1, 10, 0.5), 2e-7),  # 9.2e-8
    (InverseTimeDecay(0.1, 41, 0.5, staircase=True), 1e-7),  # 3.5e-8
    (CosineDecay(0.0, 700, 0.1, warmup_target=0.3, warmup_steps=41), 3e-7),  # 1.3e-7
    (CosineDecayRestarts(0.1, 41, 1.0, 0.9), 3e-7),  # 1.4e-7
    (CosineDecayRestarts(0.1, 7, 1.5, 0.7), 2e-7),  # 8.7e-8
    (CosineDecayRestarts(0.1, 700, 0.5), 2e-7),  # 9.9e-8
    (CosineDecayRestarts(0.1, 100, 1.1), 5e-6),  # 2.6e-6, powers of float32's 1.1
]
rows = pytest.mark.parametrize(
    ("schedule", "bound"), ROWS, ids=[f"{type(row[0]).__name__}-{i}" for i, row in enumerate(ROWS)]
)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")),
]


def assert_near(actual, expected, bound):
    difference = np.abs(actual.double().cpu().numpy() - expected).max()
    assert difference <= bound * np.abs(expected).max()  # NaN fails


@pytest.mark.parametrize("device", DEVICES)
@rows
def test_against_the_python_value(schedule, bound, device):
    expected = np.array([schedule(int(step)) for step in STEPS])
    steps = torch.arange(1201, device=device)
    single = schedule(steps)
    assert (single.dtype, single.device, single.shape) == (torch.float32, steps.device, steps.shape)
    assert_near(single, expected, bound)
    double = schedule(steps.double())
    assert (double.dtype, double.device) == (torch.float64, steps.device)
    # Measured mismatch: 1.4e-16, ulps of another power function.
    assert_near(double, expected, 1e-15)


@rows
def test_a_single_step(schedule, bound):
    for step in (0, 7, 41, 700):
        rate = schedule(torch.tensor(step))
        assert rate.shape == ()
        assert float(rate) == pytest.approx(schedule(step), rel=1e-5, abs=1e-8)  # measured: 4.9e-6, powers of 1.1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.bfloat16, torch.float16, torch.float32])
def test_dtype_of_the_step(dtype):
    rate = CosineDecay(0.1, 128)(torch.tensor(64, dtype=dtype))
    assert rate.dtype == torch.float32
    assert float(rate) == pytest.approx(0.05, rel=1.2e-7)  # measured: 6.0e-8, float32's 0.05


def test_the_default_dtype_is_not_looked_at():
    torch.set_default_dtype(torch.float64)
    try:
        assert all(schedule(torch.tensor(7)).dtype == torch.float32 for schedule, _ in ROWS)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("length", [1, 3, 5, 7, 41, 999, 2.5])
def test_exact_multiples(length):
    steps = torch.arange(400) * length
    stairs = InverseTimeDecay(1.0, length, 1.0, staircase=True)(steps)
    torch.testing.assert_close(stairs, 1 / (1 + torch.arange(400.0)), rtol=0, atol=0)
    cycles = PolynomialDecay(1.0, length, 0.25, cycle=True)(steps)
    assert cycles.tolist() == [1.0] + [0.25] * 399
    assert CosineDecayRestarts(1.0, length, t_mul=1.0)(steps).tolist() == [1.0] * 400


@pytest.mark.parametrize(
    ("first", "t_mul", "boundary"),
    [
        (2**20, 2.0, 2**20),  # float32's ulp is a sixteenth of a step there
        (2**20, 2.0, 3 * 2**20),
        (1000, 2.0, 4095000),
        (1000, 3.0, 3280000),  # the logarithm of the step before is rounded up to this period's
        (5000, 10.0, 5555000),
    ],
)
def test_a_restart_in_float32_is_neither_early_nor_late(first, t_mul, boundary):
    schedule = CosineDecayRestarts(1.0, first, t_mul)
    before, at = schedule(torch.tensor([boundary - 1, boundary]))
    assert (before < 1e-5, at) == (True, 1.0)


@rows
def test_large_steps(schedule, bound):
    assert torch.isfinite(schedule(torch.tensor([2**24 + 1, 10**9, 10**12, 2**62]))).all()


@rows
def test_torch_compile_makes_one_graph_for_every_step(schedule, bound):
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(schedule, backend=count, fullgraph=True)
    for step in (0, 1, 41, 700):
        torch.testing.assert_close(compiled(torch.tensor(step)), schedule(torch.tensor(step)), rtol=0, atol=0)
    assert len(graphs) == 1


@pytest.mark.parametrize("step", [torch.tensor(True), torch.tensor(1j)])
def test_what_is_no_step(step):
    with pytest.raises(TypeError, match=r"step must hold integers or real numbers, got tensor"):
        CosineDecay(0.1, 100)(step)
