"""The rule traced into TensorFlow's operations, in a `tf.function` and compiled by XLA, against tf_keras itself."""

import cases
import original
import pytest
import runs

# Over 300 steps, relative to the largest element of the tensor; `pytest -s` prints each set of options.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}


def check(path, theirs, bound, deviations, desc, dtype):
    found = runs.deviation(path, theirs)
    deviations.setdefault(desc, {})[dtype] = found["variables"]
    assert max(found.values()) <= bound, found


@pytest.mark.parametrize("case", cases.PAIRWISE + cases.EXTREMES, ids=str)
@pytest.mark.matrix
def test_trajectory(case, deviations):
    check(
        runs.path(case, "float32", native=False), original.path(case, "float32"),
        BOUNDS["float32"], deviations, case.desc, "float32",
    )  # fmt: skip


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(4)
def test_trajectory_in_double(case, deviations):
    check(
        runs.path(case, "float64", native=False), original.path(case, "float64"),
        BOUNDS["float64"], deviations, case.desc, "float64",
    )  # fmt: skip


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(2)
def test_trajectory_compiled_by_xla(case, deviations):
    """Both compiled, both give the same bits, but where a norm clips: there tf_keras rounds a gradient twice.

    XLA contracts products and sums, in tf_keras's step as in ours. That moves either from what tf_keras's graph gives:
    measured up to 1.5e-6 (the average of clipvalue-ema7), and the same 1.5e-6 between tf_keras and itself.
    """
    path = runs.path(case, "float32", way="xla", native=False)
    compiled = runs.follow(*original.build(case.options, cases.variables("float32")), gradients("float32"), "xla")
    clips = "clipnorm" in case.desc
    # Measured up to 3.1e-7 (velocity), 1.2e-7 the variables.
    check(path, compiled, BOUNDS["float32"] if clips else 0, deviations, f"{case.desc}, both by XLA", "float32")
    check(path, original.path(case, "float32"), 3e-6, deviations, f"{case.desc}, ours by XLA", "float32")


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(1)
def test_trajectory_compiled_by_xla_in_double(case, deviations):
    path = runs.path(case, "float64", way="xla", native=False)
    check(path, original.path(case, "float64"), BOUNDS["float64"], deviations, f"{case.desc}, ours by XLA", "float64")


def gradients(dtype):
    return cases.gradients(original.STEPS, dtype)
