"""See `tests/common/keras_explain.py`."""

import keras_explain


class TestExplain(keras_explain.Explain):
    """As they are."""
