"""TensorFlow, quiet and on the CPU; the environment must say so before the import."""

import os
from pathlib import Path

import pytest
from processes import Loaded, path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="module")
def deviations():
    """Collects the largest deviations from tf_keras, desc -> dtype -> number; `pytest -s` prints them."""
    found = {}
    yield found
    print("\nlargest deviation from tf_keras, relative to max|w|")
    for desc, row in found.items():
        print(f"{desc:50}", *(f"{dtype} {value:.1e}" for dtype, value in row.items()), sep="  ")
    for dtype in ("float32", "float64"):
        print(f"largest, {dtype}: {max([row[dtype] for row in found.values() if dtype in row], default=0):.1e}")


# No operation of TensorFlow's has run, as its threads would be lost in a child.
LOADED = """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow
"""


@pytest.fixture(scope="session")
def loaded():
    """A process that has loaded TensorFlow and nothing of ours, which takes seconds."""
    with Loaded(LOADED, PYTHONPATH=path(Path(__file__).parent)) as process:
        yield process
