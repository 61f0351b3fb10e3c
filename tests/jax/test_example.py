"""`examples/train_jax.py` learns."""

import pytest
from examples import ENOUGH, accuracy


@pytest.mark.slow
def test_reaches_97_percent():
    assert accuracy("train_jax.py") >= ENOUGH
