"""Types of numbers, and numbers that are none."""

import cases
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy
import pytest
from arrays import EVERYTHING, TYPES, numbers
from jax_runs import WAYS, precision, slots, tree
from reference import Reference
from rounding import step_from

import rmsprop
from rmsprop.jax import RMSprop

ways = pytest.mark.parametrize("way", WAYS)


@ways
@pytest.mark.parametrize("slot_dtype", [None, "float16", "bfloat16", "float32", "float64"])
@pytest.mark.matrix(4)
def test_everything_keeps_its_type(way, slot_dtype):
    """Variables of each type, with gradients of another."""
    types = {numpy.dtype(dtype).name: numpy.dtype(dtype) for dtype in TYPES}
    others = dict(zip(types, TYPES[1:] + TYPES[:1], strict=True))
    with jax.enable_x64(True):
        params = {name: jnp.asarray(numbers(5, dtype)) for name, dtype in types.items()}
        ran = WAYS[way](params, **EVERYTHING, slot_dtype=slot_dtype)
        for seed in (1, 2):
            ran.step({name: jnp.asarray(numbers(5, other, seed)) for name, other in others.items()})
        kept = slots(ran.state, ran.params)
        variables = kept.pop("variables")
        for name, dtype in types.items():
            assert variables[name].dtype == dtype
            assert {str(one[name].dtype) for one in kept.values()} == {slot_dtype or name}
        assert len(kept) == 4


def half_ulp(value, dtype):
    """Half the distance between neighbours of a type, at each value."""
    finfo = ml_dtypes.finfo(dtype)
    exponent = numpy.floor(numpy.log2(numpy.maximum(abs(value), float(finfo.smallest_normal))))
    return 2.0 ** (exponent - finfo.nmant - 1)


#: Each row of the table with both types, and with state in both, in turns.
HALVES = [
    (case, dtype, [None, "float32"][(row + place) % 2])
    for row, case in enumerate(cases.PAIRWISE)
    for place, dtype in enumerate(map(numpy.dtype, (numpy.float16, ml_dtypes.bfloat16)))
]


@pytest.mark.parametrize(("case", "dtype", "slot_dtype"), HALVES, ids=str)
@pytest.mark.matrix(5)
def test_half_precision_is_rounded_once(case, dtype, slot_dtype):
    """From the stored state each step is within half an ulp of the storage, beside the roundings of float32."""
    arrays, gradients = cases.variables(dtype), cases.gradients(10, dtype)
    ran = WAYS["optimizer"](tree(arrays), **case.options, slot_dtype=slot_dtype)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    for step in range(10):
        given = cases.at(gradients, step)
        allowed = step_from(oracle, slots(ran.state, ran.params), step, given, 2.0**-24)
        ran.step(tree(given))
        for slot, named in slots(ran.state, ran.params).items():
            for name, value in named.items():
                expected, rounding = getattr(oracle, slot)[name], allowed[slot][name]
                assert value.dtype == (slot_dtype or dtype if slot != "variables" else dtype)
                if value.dtype != numpy.float32:
                    rounding = rounding + half_ulp(abs(expected) + rounding, numpy.dtype(value.dtype))
                # Measured up to 0.9999 of what is allowed: half an ulp is what a rounding may take.
                assert (abs(numpy.asarray(value, numpy.float64) - expected) <= rounding).all(), (step, slot, name)


@pytest.mark.parametrize("case", cases.ILL_CONDITIONED, ids=str)
def test_centered_stays_finite_where_it_is_ill_conditioned(case):
    """Every single step is within what the roundings of the variance can do, the negative ones among them."""
    gradients = case.gradients(400)
    arrays = {"w": numpy.zeros(gradients.shape[1], numpy.float32)}
    ran = WAYS["optimizer"](tree(arrays), **case.options)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    for step, gradient in enumerate(gradients):
        check = step % 10 == 0
        if check:
            allowed = step_from(oracle, slots(ran.state, ran.params), step, {"w": gradient}, 2.0**-24)
        ran.step({"w": jnp.asarray(gradient)})
        for slot, named in slots(ran.state, ran.params).items():
            assert numpy.isfinite(named["w"]).all()
            if check:
                assert (abs(named["w"] - getattr(oracle, slot)["w"]) <= allowed[slot]["w"]).all(), (step, slot)


@ways
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue", None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.matrix(8)
def test_non_finite_gradients(way, clip, dtype):
    """NaN where the oracle, and tf_keras, have NaN."""
    options = {"learning_rate": 0.5, **({clip: 1.0} if clip else {})}
    arrays = {"a": numpy.ones(3, dtype), "b": numpy.ones(2, dtype)}
    with precision(dtype):
        ran = WAYS[way](tree(arrays), **options)
        start = ran.params, ran.state
        for bad in (numpy.inf, -numpy.inf, numpy.nan):
            given = {"a": numpy.array([1, bad, 2], dtype), "b": numpy.array([1, 2], dtype)}
            oracle = Reference(arrays, **options, scalars=numpy.dtype(dtype).type)
            oracle.step(given)
            ran.params, ran.state = start
            ran.step(tree(given))
            for name, array in ran.params.items():
                rtol = 1e-14 if dtype == "float64" else 1e-6
                numpy.testing.assert_allclose(array, oracle.variables[name], rtol=rtol, atol=0, err_msg=str(bad))


natives = pytest.mark.parametrize("native", ["1", "0"], ids=["native", "traced"])


@natives
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_of_numbers_of_any_size(clip, x64, native, monkeypatch):
    """XLA takes squares beyond float32 of smaller numbers; those that vanish are of a norm within the limit."""
    monkeypatch.setenv("RMSPROP_NATIVE", native)
    with jax.enable_x64(x64):
        w = jnp.zeros(2, jnp.float32)
        optimizer = RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0, **{clip: 0.5})
        state = optimizer.init(w)
        for size in (1e-30, 1e-18, 1.0, 1e18, 1e25, 1e37):
            gradient = (numpy.array([0.6, 0.8]) * size).astype(numpy.float32)
            new, _ = optimizer.apply_gradients(jnp.asarray(gradient), w, state)
            expected = gradient * numpy.float64(min(1, 0.5 / numpy.linalg.norm(gradient.astype(float))))
            numpy.testing.assert_allclose(new, -expected, rtol=3e-7, atol=0, err_msg=str(size))  # measured 6e-8


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_norm_within_the_limit_changes_nothing(clip):
    gradient = jnp.asarray(numbers(1000))
    w = jnp.zeros(1000)
    plain, clipped = RMSprop(0.5), RMSprop(0.5, **{clip: 1e6})
    numpy.testing.assert_array_equal(
        clipped.apply_gradients(gradient, w, clipped.init(w))[0], plain.apply_gradients(gradient, w, plain.init(w))[0]
    )


@natives
def test_the_norm_of_many_numbers_in_float32(native, monkeypatch):
    """XLA sums in a tree, so the error does not grow with the size."""
    monkeypatch.setenv("RMSPROP_NATIVE", native)
    gradient = numbers(2**22) + numpy.float32(1)
    w = jnp.zeros(gradient.shape)
    optimizer = RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0, clipnorm=1.0)
    new, _ = optimizer.apply_gradients(jnp.asarray(gradient), w, optimizer.init(w))
    expected = -gradient[:100] / numpy.linalg.norm(gradient.astype(numpy.float64))
    numpy.testing.assert_allclose(new[:100], expected, rtol=5e-7)  # measured 8.8e-8


def test_the_front_end_of_numpy_agrees():
    """Float32 as it comes from `rmsprop.RMSprop`, which has no fused operations."""
    w = numbers(1000)
    theirs, ours = rmsprop.RMSprop(**EVERYTHING), RMSprop(**EVERYTHING)
    params = jnp.array(w)
    state = ours.init(params)
    for seed in range(1, 51):
        gradient = numbers(1000, seed=seed)
        theirs.apply_gradients([(gradient, w)])
        params, state = ours.apply_gradients(jnp.asarray(gradient), params, state)
    assert abs(params - w).max() <= 1e-6 * abs(w).max()
