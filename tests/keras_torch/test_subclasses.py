"""See `tests/common/keras_subclasses.py`."""

import keras_subclasses


class TestSubclasses(keras_subclasses.Subclasses):
    """All of them."""
