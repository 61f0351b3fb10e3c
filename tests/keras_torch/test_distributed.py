"""`DistributedDataParallel` around a model of Keras's, in two processes: the trajectory is that of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from processes import path


# Takes more than ten seconds: starts two processes that import torch
@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    here = Path(__file__).parent
    started = []
    try:
        for rank in range(2):
            command = [sys.executable, str(here / "distributed_training.py"), str(rank), "2", str(tmp_path)]
            with (tmp_path / f"{rank}.txt").open("w") as log:
                environment = os.environ | {"PYTHONPATH": path()}
                started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        for rank, process in enumerate(started):
            assert process.wait(timeout=300) == 0, (tmp_path / f"{rank}.txt").read_text()
    finally:
        for process in started:
            process.kill()
            process.wait()
    with numpy.load(tmp_path / "alone.npz") as alone:
        assert len(alone.files) == 4
        for rank in range(2):
            with numpy.load(tmp_path / f"{rank}.npz") as found:
                for name in alone.files:
                    numpy.testing.assert_allclose(found[name], alone[name], rtol=0, atol=1e-6)
