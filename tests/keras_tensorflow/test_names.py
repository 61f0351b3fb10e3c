"""See `tests/common/keras_names.py`."""

import keras_names


class TestNames(keras_names.Names):
    """As they are."""
