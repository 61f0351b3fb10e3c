"""See `tests/common/keras_resuming.py`."""

import keras_resuming


class TestResuming(keras_resuming.Resuming):
    """As they are."""
