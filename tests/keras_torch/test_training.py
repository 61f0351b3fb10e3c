"""See `tests/common/keras_training.py`."""

import keras_training


class TestTraining(keras_training.Training):
    """As they are."""
