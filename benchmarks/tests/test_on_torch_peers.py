"""The torch peers do the whole job that they are timed for."""

import numpy as np
import pytest
import torch
from bench_runs import SHAPES

from bench.contenders.numpy import Ours
from bench.contenders.torch import Torch
from bench.frameworks import set_threads
from bench.measure import measure_steps
from bench.models import VARIANTS, make_task
from bench.peers import OURS, PEERS, choose_peers
from bench.timing import Budget

pytestmark = pytest.mark.slow

WAYS = {"torch": {"foreach": False}, "torch-foreach": {"foreach": True}}

# How far torch's weights may be from ours, as a part of the way gone, in the mean. Measured: 1.2e-7, 1.4e-7, 1.0e-6, of
# rounding; with everything 1.4e-4, for there torch adds the decay to the gradient.
NEAR = {"plain": 1e-6, "momentum": 1e-6, "centered+momentum": 1e-5, "everything": 1e-3}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", WAYS)
def test_moves_every_tensor_as_ours_does(name, variant):
    task = make_task(SHAPES, VARIANTS[variant])
    for gradient in task.gradients:
        gradient += np.where(gradient < 0, np.float32(-0.5), np.float32(0.5))  # beside it epsilon's place is nothing
    ours, peer = Ours(task), PEERS[name].make(task)
    for _ in range(20):
        ours.step()
        peer.step()
    for start, one, other in zip(task.variables, ours.weights(), peer.weights(), strict=True):
        assert other.shape == start.shape
        assert (other != start).all()
        assert np.abs(other - one).mean() < NEAR[variant] * np.abs(one - start).mean()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_everything_clips_averages_and_overwrites(way):
    options = VARIANTS["everything"] | {"global_clipnorm": 0.1, "ema_overwrite_frequency": 30}
    task = make_task(SHAPES, options)
    peer = Torch(way, task)
    averages = peer._averages.averages
    expected = [start.astype(np.float64) for start in task.variables]
    for _ in range(29):
        peer.step()
        pairs = zip(expected, peer.weights(), strict=True)
        expected = [0.99 * average + 0.01 * weight for average, weight in pairs]
    for average, value in zip(averages, expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=0, atol=2e-6)  # measured: 6.2e-7, of float32
    assert all((weight != average.numpy()).any() for weight, average in zip(peer.weights(), averages, strict=True))
    peer.step()
    assert all((weight == average.numpy()).all() for weight, average in zip(peer.weights(), averages, strict=True))
    # The gradients were clipped in place, from 0.13 to the limit, and a little less at every step.
    norm = torch.linalg.vector_norm(torch.cat([parameter.grad.flatten() for parameter in peer._parameters]))
    assert float(norm) == pytest.approx(0.1, rel=1e-3)


def test_what_torch_does_not_have_is_left_out():
    usable, left_out = choose_peers(["torch", "torch-foreach", "torch-fused"])
    assert list(usable)[:2] == ["torch", "torch-foreach"]
    if "torch-fused" not in usable:
        assert left_out == {"torch-fused": f"torch {torch.__version__} has no fused RMSprop"}


def test_is_measured_beside_ours():
    makers = {OURS: Ours, "torch": PEERS["torch"].make}
    rows = measure_steps("numpy", "mlp", "everything", makers, Budget(rounds=2))
    assert [row["peer"] for row in rows] == [OURS, "torch"]
    assert rows[0]["ratio"] == 1
    assert rows[1]["ratio"] > 1


def test_threads_are_handed_on():
    before = torch.get_num_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
