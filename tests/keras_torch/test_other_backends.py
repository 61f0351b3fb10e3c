"""A file that is trained on one backend goes on with another: with this process's torch, and with others in theirs."""

from pathlib import Path

import going_on
import numpy
import pytest
from processes import path, run

SOURCE = """
    import sys, warnings
    warnings.simplefilter("default")
    import going_on
    going_on.do(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the trainings; each backend goes on with what the one before it has begun."""
    made = tmp_path_factory.mktemp("trainings")
    paths = path(Path(__file__).parent)
    going_on.do(made)
    run(SOURCE, made, "torch", KERAS_BACKEND="tensorflow", PYTHONPATH=paths)
    run(SOURCE, made, "tensorflow", KERAS_BACKEND="jax", PYTHONPATH=paths)
    going_on.go_on(made, "jax", "jax-torch")
    return made


# Takes more than ten seconds: starts two processes, of TensorFlow's and JAX's
@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("torch", "tensorflow"), ("tensorflow", "jax"), ("jax", "torch")])
def test_a_training_goes_on(folder, first, second):
    with numpy.load(folder / f"{first}-{second}.npz") as there, numpy.load(folder / f"{first}-{first}.npz") as here:
        assert there.files == here.files
        found, expected = list(there.values()), list(here.values())
    assert int(found[4]) == int(expected[4]) == 12
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=0, atol=5e-6)
