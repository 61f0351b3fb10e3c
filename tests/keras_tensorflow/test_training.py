"""See `tests/common/keras_training.py`."""

from typing import ClassVar

import keras_training


class TestTraining(keras_training.Training):
    """With what only TensorFlow has."""

    WAYS: ClassVar = ({}, {"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 3})
