"""See `tests/common/keras_saving.py`."""

import keras_saving


class TestSaving(keras_saving.Saving):
    """As they are."""
