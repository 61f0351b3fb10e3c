"""What one front end saves in the middle of a training, every other goes on with: to the same numbers as its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import portable
import pytest
from processes import path

#: Front end -> the one of `portable`, and the environment that it needs.
PROCESSES = {
    "numpy": ("numpy", {}),
    "torch": ("torch", {}),
    "jax": ("jax", {}),
    "tf_keras": ("tf_keras", {}),
    "keras on torch": ("keras", {"KERAS_BACKEND": "torch"}),
    "keras on jax": ("keras", {"KERAS_BACKEND": "jax"}),
    "keras on tensorflow": ("keras", {"KERAS_BACKEND": "tensorflow"}),
}

#: Those whose steps have the same bits on a CPU; JAX and TensorFlow may sum a global norm in another order.
EXACT = "numpy", "torch", "keras on torch"

#: Of the largest weight, after nine steps: what DESIGN allows for float32.
BOUND = 6e-7


def run(front_end, *arguments):
    name, environment = PROCESSES[front_end]
    command = [sys.executable, portable.__file__, name, *map(str, arguments)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path(), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of each front end."""
    folder = tmp_path_factory.mktemp("files")
    for number, front_end in enumerate(PROCESSES):
        run(front_end, "write", folder / str(number))
    return {front_end: folder / str(number) for number, front_end in enumerate(PROCESSES)}


@pytest.mark.parametrize("reader", PROCESSES)
def test_goes_on_with_the_file_of_every_front_end(reader, files, tmp_path):
    run(reader, "go_on", tmp_path / "on.npz", *files.values())
    on = numpy.load(tmp_path / "on.npz")
    keys = [f"{slot}/{name}" for slot in portable.SLOTS for name in portable.SHAPES]
    assert sorted(on.files) == sorted(f"{place}/{key}" for place in range(1 + len(files)) for key in keys)
    largest = max(abs(on[f"0/variable/{name}"]).max() for name in portable.SHAPES)
    for place, writer in enumerate(files, 1):
        for key in keys:
            expected, found = on[f"0/{key}"], on[f"{place}/{key}"]
            if {reader, writer} <= {*EXACT} or reader == writer:
                numpy.testing.assert_array_equal(found, expected, f"{writer}: {key}")
            else:
                difference = abs(found - expected).max() / largest
                assert difference <= BOUND, f"{writer}: {key} differs by {difference}"


def test_metadata_is_read_without_a_framework(files):
    from rmsprop.checkpoint import read_metadata

    assert [read_metadata(file) for file in map(Path, files.values())] == [{"epoch": "5"}] * len(files)
