"""See `tests/common/keras_fallback.py`."""

import keras_fallback
import pytest


# In make test on torch: what the others fall back to are the steps of tests/jax and tests/tf_keras.
@pytest.mark.slow
class TestFallback(keras_fallback.Fallback):
    """As they are."""
