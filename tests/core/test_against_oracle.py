"""`rmsprop.RMSprop` on NumPy arrays against the oracle of `tests/common/reference.py`."""

import cases
import ml_dtypes
import numpy
import ours
import pytest
from reference import Reference
from rounding import step_from

import rmsprop

STEPS = 100


def bound(case, dtype):
    """The largest deviation allowed over 100 steps, relative to the largest element of the tensor.

    float64: the same bits, as the operations and their order are the oracle's; but a clip by norm sums squares in
    another order, measured up to 6.9e-16.

    float32: measured up to 9.6e-7 without overwriting: w is rounded at the decay and at the step, by up to 6e-8 each,
    and 200 such roundings walk that far. With overwriting up to 2.2e-6, for an element without gradient: 0.9 a + 0.1 a
    is 0.99999998 a with both numbers rounded to float32, but a again when rounded itself, and that is 2.2e-8 a step.
    """
    if dtype == "float64":
        return 1e-14 if case.options.keys() & {"clipnorm", "global_clipnorm"} else 0
    overwrites = case.options.get("use_ema") and case.options.get("ema_overwrite_frequency", 100)
    return 1.5e-6 + (2.2e-8 * STEPS if overwrites else 0)


dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module")
def paths():
    """The path of a case, walked once.

    A kernel takes most of a second to compile, so here those are compiled in which every two options meet, and the
    rest runs without a compiler; `tests/tensorflow/test_numpy_against_tf_keras.py` compiles all.
    """
    kept = {}
    plain = {case.desc for case in cases.COMBINATIONS} - {case.desc for case in cases.PAIRWISE}

    def path(case, dtype):
        if (case.desc, dtype) not in kept:
            options = case.options | {"jit_compile": case.desc not in plain}
            kept[case.desc, dtype] = ours.path(options, dtype, STEPS)
        return kept[case.desc, dtype]

    return path


def oracle_for(case, dtype):
    return Reference(cases.variables(), **case.options, scalars=numpy.dtype(dtype).type)


@dtypes
@pytest.mark.parametrize("case", cases.TABLE, ids=str)
@pytest.mark.matrix(6)
def test_trajectory(case, dtype, paths, record_property):
    """Variables and state after each step; in float64 the same bits, unless a clip has its own order of summing."""
    path, oracle = paths(case, dtype), oracle_for(case, dtype)
    slots = path.keys()
    expected = cases.follow(
        oracle.step,
        lambda: {(slot, name): array for slot in slots for name, array in getattr(oracle, slot).items()},
        cases.gradients(STEPS),
    )
    found = {
        slot: cases.deviation(path[slot], {n: rows for (s, n), rows in expected.items() if s == slot}) for slot in slots
    }
    record_property("deviation", found)
    assert max(found.values()) <= bound(case, dtype), found


@dtypes
@pytest.mark.parametrize("case", cases.TABLE, ids=str)
@pytest.mark.matrix
def test_single_steps(case, dtype, paths):
    """From our own state, one step differs by no more than its roundings can explain, in every element."""
    path, oracle, gradients = paths(case, dtype), oracle_for(case, dtype), cases.gradients(STEPS, dtype)
    for step in (1, 2, 6, *range(13, STEPS, 22)):  # overwriting every 7 steps: at 6 and 13, not at the others
        state = {slot: cases.at(rows, step - 1) for slot, rows in path.items()}
        allowed = step_from(oracle, state, step, cases.at(gradients, step), numpy.finfo(dtype).eps / 2)
        for slot, rows in path.items():
            for name, value in cases.at(rows, step).items():
                # Measured up to 0.45 of what is allowed.
                assert (abs(value - getattr(oracle, slot)[name]) <= allowed[slot][name]).all(), (step, slot, name)


@dtypes
@pytest.mark.parametrize("case", [case for case in cases.TABLE if case.exact], ids=str)
@pytest.mark.matrix(5)
def test_closed_forms(case, dtype, paths):
    path, gradients = paths(case, dtype)["variables"], cases.gradients(STEPS, dtype)
    for name, variable in cases.variables(dtype).items():
        expected = numpy.asarray(case.exact(variable, gradients[name]))
        numpy.testing.assert_array_equal(path[name][-1], expected, strict=True)


def test_the_table_is_no_empty_promise():
    """Every limit cuts some gradients and lets others be, and an overwriting happens in mid-run."""
    gradients = cases.gradients(STEPS)
    options = {name: value for case in cases.COMBINATIONS for name, value in case.options.items()}
    norms = {name: numpy.sqrt((rows.reshape(len(rows), -1) ** 2).sum(1)) for name, rows in gradients.items()}
    for share in (
        numpy.mean(numpy.concatenate(list(norms.values())) > options["clipnorm"]),
        numpy.mean(numpy.concatenate([abs(rows).ravel() for rows in gradients.values()]) > options["clipvalue"]),
        numpy.mean(numpy.sqrt(sum(norm**2 for norm in norms.values())) > options["global_clipnorm"]),
    ):
        assert 0.2 < share < 0.8
    assert len(cases.COMBINATIONS) == 96
    assert len({case.desc for case in cases.TABLE}) == len(cases.TABLE)
    assert len({case.desc for case in cases.ERRORS}) == len(cases.ERRORS)
    spread = numpy.array([rows.std(0).min() / abs(rows.mean(0)).max() for rows in gradients.values() if rows.ndim == 1])
    assert (spread > 0.1).all()


# float16 and bfloat16 ------------------------------------------------------------------------------------------------


def half_ulp(value, dtype):
    """Half the distance between neighbours of a type, at each value."""
    finfo = ml_dtypes.finfo(dtype)
    exponent = numpy.floor(numpy.log2(numpy.maximum(abs(value), float(finfo.smallest_normal))))
    return 2.0 ** (exponent - finfo.nmant - 1)


@pytest.mark.parametrize("slot_dtype", [None, "float32"])
@pytest.mark.parametrize("dtype", [numpy.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("case", "jit_compile"),
    [(case, False) for case in cases.COMBINATIONS] + [(case, True) for case in cases.PAIRWISE[:4]],
    ids=str,
)
@pytest.mark.matrix
def test_half_precision_is_rounded_once(case, jit_compile, dtype, slot_dtype):
    """From the stored state each step is within half an ulp of the storage, beside the roundings of float32."""
    arrays, gradients = cases.variables(dtype), cases.gradients(15, dtype)
    optimizer = ours.build(case.options | {"jit_compile": jit_compile, "slot_dtype": slot_dtype}, arrays)
    slots = ours.state(optimizer, arrays)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    for step in range(15):
        given = cases.at(gradients, step)
        allowed = step_from(oracle, slots, step, given, 2.0**-24)
        ours.step(optimizer, arrays, given)
        for slot, named in slots.items():
            for name, value in named.items():
                expected, rounding = getattr(oracle, slot)[name], allowed[slot][name]
                assert value.dtype == (slot_dtype or dtype if slot != "variables" else dtype)
                if value.dtype != numpy.float32:
                    rounding = rounding + half_ulp(abs(expected) + rounding, value.dtype)
                # Measured up to 0.9999 of what is allowed: half an ulp is what a rounding may take.
                assert (abs(value.astype(numpy.float64) - expected) <= rounding).all(), (step, slot, name)


# What only some steps show -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases.ILL_CONDITIONED, ids=str)
def test_centered_stays_finite_where_it_is_ill_conditioned(case):
    """Every single step is within what the roundings of the variance can do, the negative ones among them."""
    steps = 1500
    gradients = case.gradients(steps)
    arrays = {"w": numpy.zeros(gradients.shape[1], numpy.float32)}
    optimizer = ours.build(case.options, arrays)
    slots = ours.state(optimizer, arrays)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    for step, gradient in enumerate(gradients):
        check = step % 10 == 0
        if check:
            allowed = step_from(oracle, slots, step, {"w": gradient}, 2.0**-24)
        ours.step(optimizer, arrays, {"w": gradient})
        for slot, named in slots.items():
            assert numpy.isfinite(named["w"]).all()
            if check:
                # Measured up to 1.0 of what is allowed where the variance may turn out 0 or not, else up to 0.32.
                assert (abs(named["w"] - getattr(oracle, slot)["w"]) <= allowed[slot]["w"]).all(), (step, slot)


def test_centered_without_memory_divides_by_epsilon_alone():
    """With rho 0 the variance is a difference of equal numbers, exactly 0 as long as nothing is fused."""
    given = numpy.random.default_rng(0).normal(size=1000).astype(numpy.float32)
    arrays = {"w": numpy.zeros(1000, numpy.float32)}
    ours.step(
        ours.build({"learning_rate": 0.5, "rho": 0.0, "epsilon": 0.25, "centered": True}, arrays), arrays, {"w": given}
    )
    numpy.testing.assert_array_equal(arrays["w"], -given)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}], ids=str)
def test_a_variable_without_gradient_is_left_out_of_everything(clip):
    """No decay, no average, no overwriting, no part in the global norm; at a step that overwrites the others."""
    options = {"learning_rate": 0.5, "weight_decay": 0.5, "use_ema": True, "ema_overwrite_frequency": 2, **clip}
    arrays = {"a": numpy.array([1.0, 2.0]), "b": numpy.array([3.0, 4.0])}
    oracle, optimizer = Reference(arrays, **options), ours.build(options, arrays)
    first, second = (
        {"a": numpy.array([1.0, 2.0]), "b": numpy.array([3.0, 4.0])},
        {"a": numpy.array([2.0, -1.0]), "b": None},
    )
    assert ours.step(optimizer, arrays, first) == oracle.step(first) == 1
    before = {slot: named["b"].copy() for slot, named in ours.state(optimizer, arrays).items()}
    with pytest.warns(UserWarning, match=r"\bb\b"):
        assert ours.step(optimizer, arrays, second) == oracle.step(second) == 2
    for slot, named in ours.state(optimizer, arrays).items():
        numpy.testing.assert_array_equal(named["b"], before[slot])
        # Measured 0 to 2e-16: the order in which squares are summed.
        numpy.testing.assert_allclose(named["a"], getattr(oracle, slot)["a"], rtol=1e-14, atol=0)
    numpy.testing.assert_array_equal(arrays["a"], optimizer.variables["average/a"])


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue", None])
@pytest.mark.parametrize("bad", [numpy.inf, -numpy.inf, numpy.nan])
@dtypes
def test_non_finite_gradients(clip, bad, dtype):
    """NaN where the oracle, and tf_keras, have NaN."""
    options = {"learning_rate": 0.5, **({clip: 1.0} if clip else {})}
    arrays = {"a": numpy.ones(3, dtype), "b": numpy.ones(2, dtype)}
    given = {"a": numpy.array([1, bad, 2], dtype), "b": numpy.array([1, 2], dtype)}
    oracle = Reference(arrays, **options, scalars=numpy.dtype(dtype).type)
    oracle.step(given)
    ours.step(ours.build(options, arrays), arrays, given)
    for name, array in arrays.items():
        # Measured 0 in float64, 8e-8 in float32.
        numpy.testing.assert_allclose(array, oracle.variables[name], rtol=1e-14 if dtype == "float64" else 1e-6, atol=0)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_beyond_float32(clip):
    """Squares are summed in float64, so a float32 gradient of any finite size is clipped."""
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, clip: 1.0}
    arrays, given = {"w": numpy.ones(2, numpy.float32)}, {"w": numpy.float32([3e20, 4e20])}
    oracle = Reference(arrays, **options, scalars=numpy.float32)
    oracle.step(given)
    ours.step(ours.build(options, arrays), arrays, given)
    numpy.testing.assert_allclose(arrays["w"], oracle.variables["w"], rtol=3e-7)  # measured 3e-8


def test_exclusion_from_weight_decay():
    """By regular expression and by array; the second call replaces the first."""
    options = {"learning_rate": 0.5, "weight_decay": 0.5}
    arrays = {name: numpy.ones(2) for name in ("dense/kernel", "dense/bias", "biased/kernel", "scale")}
    oracle = Reference(arrays, **options, exclude=["bias$", "^scale$"])
    optimizer = rmsprop.RMSprop(**options)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer.exclude_from_weight_decay(var_list=[arrays["scale"]], var_names=["bias$"])
    optimizer.build(arrays)
    given = {name: numpy.array([1.0, 2.0]) for name in arrays}
    ours.step(optimizer, arrays, given)
    oracle.step(given)
    for name, array in arrays.items():
        numpy.testing.assert_array_equal(array, oracle.variables[name])
    assert (arrays["dense/kernel"] != arrays["dense/bias"]).all()


@pytest.mark.parametrize("use_ema", [False, True])
def test_finalize(use_ema):
    options = {"learning_rate": 0.5, "use_ema": use_ema, "ema_overwrite_frequency": None}
    arrays = {"a": numpy.array([3.0, 4.0]), "b": numpy.array(2.0)}
    given = {"a": numpy.array([1.0, -2.0]), "b": numpy.array(1.0)}
    oracle, optimizer = Reference(arrays, **options), ours.build(options, arrays)
    ours.step(optimizer, arrays, given)
    oracle.step(given)
    stepped = arrays["b"].copy()
    optimizer.finalize_variable_values(arrays)
    oracle.finalize()
    for name, array in arrays.items():
        numpy.testing.assert_array_equal(array, oracle.variables[name])
    assert (arrays["b"] != stepped) == use_ema


@pytest.mark.parametrize("case", cases.ERRORS, ids=str)
def test_refused_arguments(case):
    with pytest.raises(case.error, match=case.match) as caught:
        rmsprop.RMSprop(**case.options)
    assert caught.type is case.error
