"""See `tests/common/keras_fallback.py`."""

import keras_fallback


class TestFallback(keras_fallback.Fallback):
    """As they are."""
