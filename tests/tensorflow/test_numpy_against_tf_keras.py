"""`rmsprop.RMSprop` on NumPy arrays against `tf_keras.optimizers.RMSprop`: the table, then what is documented.

The float16 and bfloat16 arrays, which tf_keras computes in their own precision, are compared with the oracle in
`tests/core/test_against_oracle.py`.
"""

import json

import cases
import numpy
import original
import ours
import pytest
import tensorflow as tf
import tf_keras
from rounding import step_from
from reference import Reference

import rmsprop
from rmsprop import RMSprop, RowSparse

# Over 300 steps, relative to the largest element of the tensor; see `pytest -s` for each set of options.
# float32: measured up to MEAS32: tf_keras multiplies by rsqrt, which differs from a division by sqrt by an ulp or two
# of the increment, and that makes w, rounded alike otherwise, fall on a neighbour now and then.
# float64: measured up to MEAS64, for the same reason.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module")
def deviations():
    """Collects the largest deviations and prints them at the end."""
    found = {}
    yield found
    print("\nlargest deviation from tf_keras over 300 steps, relative to max|w|")
    for case, row in found.items():
        print(f"{case:44}", *(f"{dtype} {value:.1e}" for dtype, value in row.items()), sep="  ")
    for dtype in BOUNDS:
        print(f"largest, {dtype}: {max(row.get(dtype, 0) for row in found.values()):.1e}")


@dtypes
@pytest.mark.parametrize("case", cases.TABLE, ids=str)
def test_trajectory(case, dtype, deviations, record_property):
    """Variables and state after each of 300 steps."""
    theirs, path = original.path(case, dtype), ours.path(case.options, dtype, original.STEPS)
    assert path.keys() == theirs.keys()
    found = {slot: cases.deviation(path[slot], theirs[slot]) for slot in theirs}
    deviations.setdefault(case.desc, {})[dtype] = found["variables"]
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found


def test_every_limit_is_met_by_some_gradients():
    """Otherwise the rows with a clip would compare nothing."""
    gradients = cases.gradients(original.STEPS)
    options = {name: value for case in cases.COMBINATIONS for name, value in case.options.items()}
    norms = {name: numpy.sqrt((rows.reshape(len(rows), -1) ** 2).sum(1)) for name, rows in gradients.items()}
    for share in (
        numpy.mean(numpy.concatenate(list(norms.values())) > options["clipnorm"]),
        numpy.mean(numpy.concatenate([abs(rows).ravel() for rows in gradients.values()]) > options["clipvalue"]),
        numpy.mean(numpy.sqrt(sum(norm**2 for norm in norms.values())) > options["global_clipnorm"]),
    ):
        assert 0.2 < share < 0.8
