"""`examples/train_keras.py` learns, on the backend that `conftest.py` names."""

import pytest
from examples import ENOUGH, accuracy


@pytest.mark.slow
def test_reaches_97_percent():
    assert accuracy("train_keras.py") >= ENOUGH
