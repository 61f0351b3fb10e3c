"""See `tests/common/keras_explain.py`."""

import keras_explain
import tf_launches


class TestExplain(keras_explain.Explain):
    """As they are; the tables that steps ran with say how many kernels they have called."""

    def launches_of(self, step, monkeypatch):
        counted = tf_launches.Launches(monkeypatch)
        step()
        return counted.count()
