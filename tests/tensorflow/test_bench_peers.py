"""The tf_keras peer of ``rmsprop bench`` does the whole job that it is timed for: it ends with our weights."""

import numpy as np
import pytest

from rmsprop.cli.bench.models import VARIANTS, make_task
from rmsprop.cli.bench.peers import PEERS, Ours, choose_peers

SHAPES = [(8, 16), (16,), (16, 4), (4,)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_gives_our_numbers(variant):
    task = make_task(SHAPES, VARIANTS[variant])
    ours, peer = Ours(task), PEERS["tf_keras"].make(task)
    for _ in range(120):  # past an overwriting
        ours.step()
        peer.step()
    for start, one, other in zip(task.variables, ours.weights(), peer.weights(), strict=True):
        assert (one != start).all()
        # Measured: 5.0e-8, 1.2e-7, 1.3e-7 and 1.3e-7, of rounding.
        assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()


def test_is_there():
    usable, left_out = choose_peers(["tf_keras"])
    assert (list(usable), left_out) == (["tf_keras"], {})
