"""The rule traced into TensorFlow's operations, in a `tf.function` and compiled by XLA, against tf_keras itself."""

import cases
import original
import pytest
import runs

# Over 300 steps, relative to the largest element of the tensor; `pytest -s` prints each set of options.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}


def check(case, dtype, way, deviations, record_property, steps=original.STEPS):
    path = runs.path(case, dtype, steps, way, native=False)
    found = runs.deviation(path, original.path(case, dtype))
    deviations.setdefault(f"{case.desc}, {way}", {})[dtype] = found["variables"]
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found


@pytest.mark.parametrize("case", cases.TABLE, ids=str)
def test_trajectory(case, deviations, record_property):
    check(case, "float32", "loop", deviations, record_property)


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
def test_trajectory_in_double(case, deviations, record_property):
    check(case, "float64", "loop", deviations, record_property)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
def test_trajectory_compiled_by_xla(case, dtype, deviations, record_property):
    check(case, dtype, "xla", deviations, record_property)
