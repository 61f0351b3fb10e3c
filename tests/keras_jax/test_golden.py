"""See `tests/common/keras_golden.py`."""

import keras_golden


class TestGolden(keras_golden.Bits, keras_golden.Bound):
    """As they are."""
