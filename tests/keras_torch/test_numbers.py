"""Numbers against the NumPy front end's and Keras's own; `pytest -s` prints the largest deviations."""

from typing import ClassVar

import keras_numbers
from keras_numbers import deviations  # noqa: F401


class TestNumbers(keras_numbers.Numbers):
    """As they are; without kernels the rule is NumPy's."""

    TRACED: ClassVar = {"float32": 0.0, "float64": 0.0}
