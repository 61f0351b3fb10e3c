"""See `tests/common/keras_fallback.py`."""

import keras_fallback


class TestFallback(keras_fallback.Fallback):
    """Without kernels of ours the rule runs in plain NumPy there."""
