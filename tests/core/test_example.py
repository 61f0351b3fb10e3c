"""`examples/train_numpy.py` learns."""

from examples import ENOUGH, accuracy


def test_reaches_97_percent():
    assert accuracy("train_numpy.py") >= ENOUGH
