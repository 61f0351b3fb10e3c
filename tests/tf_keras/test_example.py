"""`examples/train_tf_keras.py` learns."""

from examples import ENOUGH, accuracy


def test_reaches_97_percent():
    assert accuracy("train_tf_keras.py") >= ENOUGH
