"""Numbers against the NumPy front end's and Keras's own; `pytest -s` prints the largest deviations."""

import keras_numbers
import oldest
from keras_numbers import deviations  # noqa: F401


class TestNumbers(keras_numbers.Numbers):
    """As they are."""

    if oldest.jax_is_traced():
        NATIVE = keras_numbers.Numbers.TRACED
