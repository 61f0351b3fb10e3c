"""The native step in a `tf.function` against `tf_keras.optimizers.RMSprop`: the table's options in twos, 300 steps."""

import cases
import original
import pytest
import runs

# Over 300 steps, relative to the largest element of the tensor; `pytest -s` prints each set of options.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}


# Every two options once: a run and the original's take a second. The bits are those of the NumPy front end, see
# `test_numbers_numpy.py`, which `tests/tensorflow` compares with the original on the whole table.
@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, "float32") for case in cases.PAIRWISE + cases.EXTREMES] + [(case, "float64") for case in cases.PAIRWISE],
    ids=str,
)
@pytest.mark.matrix(5)
def test_trajectory(case, dtype, deviations, record_property):
    """Variables and state after each step."""
    found = runs.deviation(runs.path(case, dtype, native=True), original.path(case, dtype))
    deviations.setdefault(case.desc, {})[dtype] = found["variables"]
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found
