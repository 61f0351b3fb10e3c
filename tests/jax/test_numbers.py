"""Both interfaces against the oracle: trajectories and single steps; `pytest -s` prints the largest deviations."""

import cases
import numpy
import pytest
from jax_runs import WAYS, path
from reference import Reference
from rounding import step_from

STEPS = 40

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
ways = pytest.mark.parametrize("way", WAYS)

#: Each row is compiled, which takes a while, so that options meet in twos. The optimizer's bits are those of the NumPy
#: front end, see `test_native_numpy.py`, which is compared with the oracle on the whole table; float64 goes another way
#: than float32 for all options alike.
ROWS = [(way, case, "float32") for way in WAYS for case in cases.PAIRWISE + cases.EXTREMES]
ROWS += [("optimizer", case, "float64") for case in cases.PAIRWISE]
ROWS += [("transformation", case, "float64") for case in cases.PAIRWISE[:4]]


@pytest.fixture(scope="module")
def deviations():
    """Collects the largest deviations from the oracle, desc -> (way, dtype) -> number."""
    found = {}
    yield found
    print("\nlargest deviation from the oracle, relative to the largest element of the tensor")
    for desc, row in found.items():
        print(f"{desc:50}", *(f"{way} {dtype} {value:.1e}" for (way, dtype), value in row.items()), sep="  ")
    for dtype in ("float32", "float64"):
        each = [value for row in found.values() for (_, kind), value in row.items() if kind == dtype]
        print(f"largest, {dtype}: {max(each, default=0):.1e}")


@pytest.mark.parametrize(("way", "case", "dtype"), ROWS, ids=str)
@pytest.mark.matrix(6)
def test_trajectory(way, case, dtype, deviations):
    """Variables and state after each step."""
    found = path(way, case, dtype, STEPS)
    oracle = Reference(cases.variables(), **case.options, scalars=numpy.dtype(dtype).type)
    expected = cases.follow(
        oracle.step,
        lambda: {(slot, name): array for slot in found for name, array in getattr(oracle, slot).items()},
        cases.gradients(STEPS),
    )
    worst = max(
        cases.deviation(rows, {name: row for (slot_, name), row in expected.items() if slot_ == slot})
        for slot, rows in found.items()
    )
    deviations.setdefault(case.desc, {})[way, dtype] = worst
    # Measured 8.8e-7 and 1.3e-15, where averages overwrite: roundings and the multiplications that XLA fuses with
    # additions. `tests/core/test_against_oracle.py` tells how far roundings alone walk.
    assert worst <= (1.5e-6 if dtype == "float32" else 2e-15)


@dtypes
@pytest.mark.parametrize("case", cases.PAIRWISE + cases.EXTREMES[:4], ids=str)
@pytest.mark.matrix
def test_single_steps(case, dtype):
    """From our own state, one step differs by no more than its roundings can explain, in every element."""
    ours = path("optimizer", case, dtype, STEPS)
    oracle = Reference(cases.variables(), **case.options, scalars=numpy.dtype(dtype).type)
    gradients = cases.gradients(STEPS, dtype)
    for step in range(1, 10):
        state, found = ({slot: cases.at(rows, at) for slot, rows in ours.items()} for at in (step - 1, step))
        allowed = step_from(oracle, state, step, cases.at(gradients, step), numpy.finfo(dtype).eps / 2)
        for slot, named in found.items():
            for name, value in named.items():
                difference = abs(value - getattr(oracle, slot)[name])
                assert (difference <= allowed[slot][name]).all(), (step, slot, name)


@dtypes
@ways
@pytest.mark.parametrize("case", [case for case in cases.TABLE if case.exact], ids=str)
@pytest.mark.matrix(8)
def test_closed_forms(way, case, dtype):
    found, gradients = path(way, case, dtype, STEPS)["variables"], cases.gradients(STEPS, dtype)
    for name, variable in cases.variables(dtype).items():
        expected = numpy.asarray(case.exact(variable, gradients[name]))
        numpy.testing.assert_array_equal(found[name][-1], expected, strict=True)
