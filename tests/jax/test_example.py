"""`examples/train_jax.py` learns."""

from examples import ENOUGH, accuracy


def test_reaches_97_percent():
    assert accuracy("train_jax.py") >= ENOUGH
