"""See `tests/common/keras_arguments.py`."""

import keras_arguments


class TestArguments(keras_arguments.Arguments):
    """As they are."""
