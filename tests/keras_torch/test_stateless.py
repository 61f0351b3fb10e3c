"""See `tests/common/keras_stateless.py`."""

import keras_stateless


class TestStateless(keras_stateless.Stateless):
    """As they are."""
