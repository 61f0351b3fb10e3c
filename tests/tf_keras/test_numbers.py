"""The native step in a `tf.function` against `tf_keras.optimizers.RMSprop`: the whole table, 300 steps."""

import cases
import original
import pytest
import runs

# Over 300 steps, relative to the largest element of the tensor; `pytest -s` prints each set of options.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", cases.TABLE, ids=str)
def test_trajectory(case, dtype, deviations, record_property):
    """Variables and state after each step."""
    found = runs.deviation(runs.path(case, dtype, native=True), original.path(case, dtype))
    deviations.setdefault(case.desc, {})[dtype] = found["variables"]
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found
