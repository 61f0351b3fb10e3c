"""See `tests/common/keras_schedules.py`."""

import keras_schedules


class TestSchedules(keras_schedules.Schedules):
    """As they are."""
