"""See `tests/common/keras_golden.py`."""

import keras_golden


class TestGolden(keras_golden.Bits, keras_golden.Plain):
    """Bits in both ways: there are no operations of torch's in a step on the CPU."""
