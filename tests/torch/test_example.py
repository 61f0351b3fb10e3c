"""`examples/train_torch.py` learns."""

from examples import ENOUGH, accuracy


def test_reaches_97_percent():
    assert accuracy("train_torch.py") >= ENOUGH
