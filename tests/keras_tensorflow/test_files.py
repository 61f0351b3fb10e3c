"""See `tests/common/keras_files.py`."""

import keras_files


class TestFiles(keras_files.Files):
    """As they are."""
