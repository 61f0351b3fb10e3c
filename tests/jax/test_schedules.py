"""The schedules under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmsprop.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

STEPS = np.arange(1201)
# Each row: a schedule and its largest mismatch in float32 as a part of the largest rate, about twice the measured one.
ROWS = [
    (ExponentialDecay(0.1, 100, 0.96), 5e-7),  # 2.0e-7
    (ExponentialDecay(0.1, 41, 0.5, staircase=True), 5e-8),  # 1.5e-8
    (PiecewiseConstantDecay([10, 300], [1.0, 0.5, 0.1]), 1e-8),  # 1.5e-9
    (PolynomialDecay(0.1, 700, power=0.5), 1e-6),  # 4.3e-7, the root of a rounded difference
    (PolynomialDecay(0.1, 41, 0.01, 0.5, cycle=True), 1e-6),  # 4.2e-7, the same
    (InverseTimeDecay(0.1, 10, 0.5), 2e-7),  # 9.2e-8
    (InverseTimeDecay(0.1, 41, 0.5, staircase=True), 1e-7),  # 3.5e-8
    (CosineDecay(0.0, 700, 0.1, warmup_target=0.3, warmup_steps=41), 3e-7),  # 1.3e-7
    (CosineDecayRestarts(0.1, 41, 1.0, 0.9), 3e-7),  # 1.4e-7
    (CosineDecayRestarts(0.1, 7, 1.5, 0.7), 2e-7),  # 8.7e-8
    (CosineDecayRestarts(0.1, 700, 0.5), 2e-7),  # 9.9e-8
    (CosineDecayRestarts(0.1, 100, 1.1), 5e-6),  # 2.6e-6, powers of float32's 1.1
]
rows = pytest.mark.parametrize(
    ("schedule", "bound"), ROWS, ids=[f"{type(row[0]).__name__}-{i}" for i, row in enumerate(ROWS)]
)


def assert_near(actual, expected, bound):
    difference = np.abs(np.asarray(actual, np.float64) - expected).max()
    assert difference <= bound * np.abs(expected).max()  # NaN fails


@rows
@pytest.mark.matrix(4)
def test_jit_and_vmap_against_the_python_value(schedule, bound):
    expected = np.array([schedule(int(step)) for step in STEPS])
    steps = jnp.asarray(STEPS)
    for compute in (schedule, jax.jit(schedule), jax.vmap(schedule), jax.jit(jax.vmap(schedule))):
        rates = compute(steps)
        assert (rates.dtype, rates.shape) == (jnp.float32, steps.shape)
        assert_near(rates, expected, bound)


@rows
@pytest.mark.matrix
def test_a_changed_step_compiles_nothing(schedule, bound):
    traces = []

    @jax.jit
    def rate(step):
        traces.append(None)
        return schedule(step)

    rates = [rate(jnp.int32(step)) for step in (0, 7, 41, 700)]
    assert len(traces) == 1
    assert rate._cache_size() == 1
    assert_near(rates, np.array([schedule(step) for step in (0, 7, 41, 700)]), bound)


@rows
@pytest.mark.matrix
def test_a_step_carried_through_scan(schedule, bound):
    def body(step, _):
        return step + 1, schedule(step)

    last, rates = jax.lax.scan(body, jnp.int32(0), length=100)
    assert int(last) == 100
    assert_near(rates, schedule(np.arange(100)), bound)


def test_a_schedule_is_a_static_argument():
    traces = []

    def rate(schedule, step):
        traces.append(None)
        return schedule(step)

    compiled = jax.jit(rate, static_argnums=0)
    for _ in range(2):
        assert float(compiled(ExponentialDecay(0.5, 10, 0.5), 10)) == 0.25
    assert len(traces) == 1  # an equal schedule is the same one


@pytest.mark.parametrize("length", [1, 3, 5, 7, 41, 47, 999, 2.5])
def test_exact_multiples(length):
    # XLA multiplies with 1 / length, which floor alone would not survive.
    steps = jnp.asarray(np.arange(400) * length)
    stairs = jax.jit(InverseTimeDecay(1.0, length, 1.0, staircase=True))(steps)
    np.testing.assert_array_equal(stairs, 1 / (1 + np.arange(400, dtype=np.float32)))
    cycles = jax.jit(PolynomialDecay(1.0, length, 0.25, cycle=True))(steps)
    np.testing.assert_array_equal(cycles, np.where(np.arange(400) == 0, 1.0, 0.25))
    restarts = jax.jit(CosineDecayRestarts(1.0, length, t_mul=1.0))(steps)
    np.testing.assert_array_equal(restarts, 1.0)


@pytest.mark.parametrize("length", [3, 7, 41])
def test_stairs_are_exact_wherever_float32_holds_the_step(length):
    count = np.arange(1, 2**24 // length)
    stairs = jax.jit(InverseTimeDecay(1.0, length, 1.0, staircase=True))
    np.testing.assert_array_equal(stairs(jnp.asarray(count * length - 1)), 1 / count.astype(np.float32))
    np.testing.assert_array_equal(stairs(jnp.asarray(count * length)), 1 / (count + 1).astype(np.float32))


@rows
@pytest.mark.matrix
def test_large_steps(schedule, bound):
    steps = jnp.array([2**24 + 1, 10**9, 2**31 - 1])
    assert np.all(np.isfinite(jax.jit(schedule)(steps)))
    assert np.all(np.isfinite(jax.jit(schedule)(jnp.float32(1e12))))


def test_arguments_beyond_int32():
    assert float(jax.jit(CosineDecay(1.0, 10**12))(jnp.float32(5e11))) == pytest.approx(
        0.5, abs=1e-7
    )  # measured: 3.0e-8
    assert float(jax.jit(PiecewiseConstantDecay([10**12], [1.0, 0.5]))(7)) == 1.0


@rows
@pytest.mark.matrix
def test_x64(schedule, bound):
    with jax.enable_x64(True):
        rates = jax.jit(schedule)(jnp.asarray(STEPS))
        assert rates.dtype == jnp.float64
        assert_near(rates, schedule(STEPS), 5e-15)  # measured: 2.4e-15, powers of 1.1


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bfloat16, jnp.float16, jnp.float32])
def test_dtype_of_the_step(dtype):
    rate = CosineDecay(0.1, 128)(jnp.asarray(64, dtype))
    assert rate.dtype == jnp.float32
    assert float(rate) == pytest.approx(0.05, rel=1.2e-7)  # measured: 6.0e-8, float32's 0.05


@pytest.mark.parametrize("step", [True, 1j])
def test_what_is_no_step(step):
    schedule = CosineDecay(0.1, 100)
    with pytest.raises(TypeError, match=r"step must hold integers or real numbers"):
        schedule(jnp.asarray(step))
    with pytest.raises(TypeError, match=r"step must hold integers or real numbers"):
        jax.jit(schedule)(step)
