"""See `tests/common/keras_interrupts.py`."""

import keras_interrupts


class TestInterrupts(keras_interrupts.Interrupts):
    """Some of the lines."""

    every = 3
