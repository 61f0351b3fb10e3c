"""`examples/train_keras.py` learns, on the backend that `conftest.py` names."""

from examples import ENOUGH, accuracy


def test_reaches_97_percent():
    assert accuracy("train_keras.py") >= ENOUGH
