"""See `tests/common/keras_explain.py`."""

import keras_explain

from rmsprop._jax import native
from rmsprop._jax.plan import CallPlan


class TestExplain(keras_explain.Explain):
    """As they are; the calls that XLA compiles say how many kernels they run."""

    def launches_of(self, step, monkeypatch):
        found, call = [], native.call

        def counted(text, *arguments):
            plan = CallPlan.read(text).plan()
            found.append(len(plan.norms) + len(plan.steps))
            return call(text, *arguments)

        monkeypatch.setattr(native, "call", counted)
        step()
        return sum(found)
