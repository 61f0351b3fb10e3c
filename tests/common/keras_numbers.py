"""What `rmsprop.keras.RMSprop` computes, on any backend; a folder for each subclasses this."""

from typing import ClassVar

import cases
import keras
import keras_runs as runs
import numpy
import ours
import pytest

from rmsprop.keras import RMSprop

#: Two overwriting averages' worth, and two more.
STEPS = 16

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

#: Rows without what only ours has, or has otherwise than Keras's own optimizer.
COMMON = [case for case in cases.PAIRWISE if not case.options.get("use_ema")]

#: Each kind of them, and each rho.
ILL_CONDITIONED = [*cases.ILL_CONDITIONED[::4], cases.ILL_CONDITIONED[-1]]

#: Each option in float64, too, where the ends of their ranges do what they do in float32.
ROWS = [(case, "float32") for case in cases.PAIRWISE + cases.EXTREMES]
ROWS += [(case, "float64") for case in cases.PAIRWISE]

_paths = {}


def path(case, dtype, make=RMSprop, **arguments):
    """A row's run, as `runs.path` gives it, done once for all tests that look at it."""
    key = (case.desc, dtype, make, *arguments.items())
    if key not in _paths:
        _paths[key] = runs.path(case.options, dtype, STEPS, make, **arguments)
    return _paths[key]


@pytest.fixture(scope="module")
def deviations():
    """Collects the largest deviations, desc -> what -> number; `pytest -s` prints them."""
    found = {}
    yield found
    print(f"\nlargest deviation on {runs.BACKEND}, relative to the largest element of the tensor")
    for desc, row in found.items():
        print(f"{desc:50}", *(f"{what} {value:.1e}" for what, value in row.items()), sep="  ")
    for what in sorted({what for row in found.values() for what in row}):
        print(f"largest, {what}: {max(row[what] for row in found.values() if what in row):.1e}")


class Numbers:
    """The foundation's cases against the NumPy front end, which runs the same rule."""

    #: What our own kernels may differ by, and what the backend's operations may, dtype -> bound. Measured of these,
    #: where norms are summed in another order and products are added unrounded: 3.1e-7 and 5.8e-16, on JAX.
    NATIVE: ClassVar = {"float32": 0.0, "float64": 0.0}
    TRACED: ClassVar = {"float32": 6e-7, "float64": 1.2e-15}

    #: How a user does without our kernels.
    WITHOUT: ClassVar = {"native": False}

    def check(self, case, dtype, deviations, native):
        arguments = {} if native else self.WITHOUT
        found = path(case, dtype, **arguments)
        worst = runs.deviation(found, ours.path(case.options, dtype, STEPS))
        deviations.setdefault(case.desc, {})[f"{'native' if native else 'traced'} {dtype}"] = worst
        assert worst <= (self.NATIVE if native else self.TRACED)[dtype]

    @pytest.mark.parametrize(("case", "dtype"), ROWS, ids=str)
    @pytest.mark.matrix(4)  # the same kernels on every backend
    def test_against_numpy(self, case, dtype, deviations):
        self.check(case, dtype, deviations, True)

    @dtypes
    @pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
    @pytest.mark.matrix(6)
    def test_operations_of_the_backend_against_numpy(self, case, dtype, deviations):
        self.check(case, dtype, deviations, False)

    @pytest.mark.parametrize("case", COMMON, ids=str)
    @pytest.mark.matrix(4)
    def test_against_keras(self, case, deviations):
        worst = runs.deviation(path(case, "float32"), path(case, "float32", keras.optimizers.RMSprop))
        deviations.setdefault(case.desc, {})["Keras's own float32"] = worst
        # Measured 3.1e-7 (JAX), where a norm clips.
        assert worst <= 6e-7

    @dtypes
    @pytest.mark.parametrize("case", [case for case in cases.TABLE if case.exact], ids=str)
    def test_closed_forms(self, case, dtype):
        found, gradients = path(case, dtype)["variables"], cases.gradients(STEPS, dtype)
        for name, variable in cases.variables(dtype).items():
            expected = numpy.asarray(case.exact(variable, gradients[name]))
            numpy.testing.assert_array_equal(found[name][-1], expected, strict=True)

    @pytest.mark.parametrize("case", ILL_CONDITIONED, ids=str)
    def test_next_to_no_variance(self, case):
        """Bits differ where rounding decides, but our kernels' are NumPy's, and none is NaN."""
        rows = case.gradients(200)
        optimizer, named = runs.build(case.options, {"w": numpy.ones(rows.shape[1], numpy.float32)})
        w = numpy.ones(rows.shape[1], numpy.float32)
        plain = ours.build(case.options, {"w": w})
        for row in rows:
            runs.step(optimizer, named, {"w": row})
            plain.apply_gradients([(row, w)])
        assert numpy.isfinite(runs.array(named["w"])).all()
        numpy.testing.assert_array_equal(runs.array(named["w"]), w)

    def test_the_first_step_of_all(self):
        optimizer, variable = RMSprop(learning_rate=0.1), keras.Variable(10.0)
        optimizer.apply_gradients([(keras.ops.copy(variable), variable)])
        assert runs.array(variable) == numpy.float32(9.683772)

    def test_half_types_keep_state_in_another(self):
        options = {"slot_dtype": "float32", "use_ema": True, "initial_velocity": 1.0, "learning_rate": 2.0**-7}
        optimizer, named = runs.build(options, {"w": numpy.ones(5, numpy.float16)})
        w = numpy.ones(5, numpy.float16)
        plain = ours.build(options, {"w": w})
        for row in numpy.random.default_rng(0).normal(size=(20, 5)).astype(numpy.float16):
            runs.step(optimizer, named, {"w": row})
            plain.apply_gradients([(row, w)])
        slots = runs.state(optimizer, named)
        assert {one.dtype for slot in ("velocity", "average") for one in slots[slot].values()} == {"float32"}
        numpy.testing.assert_array_equal(runs.array(named["w"]), w)
        for slot in ("velocity", "average"):
            numpy.testing.assert_array_equal(runs.array(slots[slot]["w"]), plain.variables[f"{slot}/w"])

    def test_values_that_somebody_holds_stay(self):
        optimizer, named = runs.build({}, {"w": numpy.ones(1000, numpy.float32)})
        held = keras.ops.convert_to_numpy(keras.ops.copy(named["w"]))
        state = [runs.array(one) for one in optimizer.variables]
        runs.step(optimizer, named, {"w": numpy.ones(1000, numpy.float32)})
        assert (held == 1).all()
        assert int(state[0]) == 0
        assert (runs.array(named["w"]) < 1).all()
