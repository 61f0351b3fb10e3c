"""FullyShardedDataParallel leaves each process a share of every parameter: norms of shares are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

# Takes more than ten seconds: two processes that import torch
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Way and setting -> what both processes said; they are started once."""
    script = Path(__file__).with_name("fsdp1_training.py")
    command = [sys.executable, str(script), "2", str(tmp_path_factory.mktemp("meeting"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        setting, said = line.split("|")
        found.setdefault(setting, []).append(said)
    assert len(found) == 8
    assert all(len(said) == 2 for said in found.values())
    return found


@pytest.mark.parametrize("clip", ["", "clipvalue"])
@pytest.mark.parametrize("original", [False, True])
def test_without_a_norm_the_trajectory_is_that_of_one_process(original, clip, lines):
    # Gradients are summed in another order.
    assert max(map(float, lines[f"{original} {clip}"])) < 1e-6


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("original", [False, True])
def test_a_norm_is_refused_with_the_remedy(original, clip, lines):
    for said in lines[f"{original} {clip}"]:
        assert said.startswith(f"refused: {clip}=0.05: parameter 0 of group 0 is part of a model in FullySharded")
        assert f"leave {clip} out and call model.clip_grad_norm_(0.05) before step()" in said
