"""What one front end saves in the middle of a training, every other goes on with: to the same numbers as its own."""

import json
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

#: Of the largest weight, after nine steps: what is promised for float32.
BOUND = 6e-7


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """A process of each front end, which has written its file: front end -> process, file, and file of its errors.

    One after the other they load their frameworks, which takes longer than all that they do then.
    """
    folder, found = tmp_path_factory.mktemp("files"), {}
    try:
        for number, (front_end, (name, environment)) in enumerate(PROCESSES.items()):
            errors = folder / f"{number}.errors"
            with errors.open("w") as stderr:
                process = subprocess.Popen(
                    [sys.executable, portable.__file__, name, str(folder / str(number))],
                    env=os.environ | {"PYTHONPATH": path(), **environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            found[front_end] = process, folder / str(number), errors
            assert "written\n" in process.stdout, errors.read_text()
        yield found
    finally:
        for process, *_ in found.values():
            process.stdin.close()
            process.stdout.close()
            process.wait(60)


@pytest.fixture
def files(processes):
    """The file of each front end."""
    return {front_end: file for front_end, (_, file, _) in processes.items()}


@pytest.mark.parametrize("reader", PROCESSES)
def test_goes_on_with_the_file_of_every_front_end(reader, processes, files, tmp_path):
    process, _, errors = processes[reader]
    print(json.dumps([str(one) for one in (tmp_path / "on.npz", *files.values())]), file=process.stdin, flush=True)
    assert process.wait(300) == 0, errors.read_text()
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
