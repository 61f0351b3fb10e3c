"""Parameters that lie on the devices of two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import meshes
import numpy
from processes import path

from rmsprop.jax import RMSprop

SCRIPT = Path(__file__).with_name("two_processes.py")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_trajectory_equals_that_of_one_process(tmp_path):
    port = free_port()
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(port), str(place), tmp_path / f"{place}.npz"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": path()},
        )
        for place in range(2)
    ]
    try:
        printed = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(printed)

    params = meshes.arrays()
    optimizer = RMSprop(**meshes.EVERYTHING, global_clipnorm=2.0)
    state = optimizer.init(params)
    for seed in range(1, 5):
        params, state = optimizer.apply_gradients(meshes.arrays(seed), params, state)
    for place in range(2):
        with numpy.load(tmp_path / f"{place}.npz") as found:
            # As on the devices of one process, see `test_jit.py`.
            assert meshes.difference(dict(found), params) <= 3e-7
