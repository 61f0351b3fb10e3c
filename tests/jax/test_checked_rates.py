"""What a function gives as a learning rate is checked like a number that is given, wherever its value can be seen."""

import jax
import jax.numpy as jnp
import numpy
import optax
import pytest

from rmsprop.jax import RMSprop, rmsprop
from rmsprop.schedules import LearningRateSchedule

W = jnp.arange(3.0)
BAD = [-1.0, float("nan"), float("inf"), -1e-30]


class Last(LearningRateSchedule):
    """A rate that goes wrong after three steps."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return jnp.where(step < 3, 0.5, self.value)

    def get_config(self):
        return {"value": self.value}


def eager(rate, **options):
    optimizer = RMSprop(rate, **options)
    return optimizer.init(W), lambda state: optimizer.apply_gradients(W, W, state)[1]


def transformed(rate):
    transformation = rmsprop(rate)
    return transformation.init(W), lambda state: transformation.update(W, state, W)[1]


WAYS = {
    "eager": eager,
    "op by op": lambda rate: eager(rate, jit_compile=False),
    "transformation": transformed,
}
ways = pytest.mark.parametrize("way", WAYS)
both = pytest.mark.parametrize("native", ["0", "1"])


@pytest.fixture(autouse=True)
def _native(request, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", request.getfixturevalue("native") if "native" in request.fixturenames else "1")


@both
@ways
@pytest.mark.parametrize("value", BAD)
@pytest.mark.matrix
def test_rates_that_depend_on_the_step(value, way, native):
    for rate in (Last(value), lambda step: jnp.where(step < 3, 0.5, value)):
        state, step = WAYS[way](rate)
        for _ in range(3):
            state = step(state)
        with pytest.raises(ValueError, match="learning_rate=.* is not a finite number at least 0"):
            step(state)
        assert state.iterations == 3


@both
@pytest.mark.parametrize("value", BAD)
def test_numbers_are_seen_while_a_step_is_traced(value, native):
    for rate in (lambda step: value, lambda step: numpy.float32(value)):
        for make in (eager, transformed):
            state, step = make(rate)
            with pytest.raises(ValueError, match="learning_rate=.* is not a finite number at least 0"):
                jax.jit(step)(state)


@pytest.mark.parametrize("value", [True, 1j])
def test_what_is_no_number_is_seen_while_a_step_is_traced(value):
    optimizer, schedules = RMSprop(0.5), RMSprop(lambda step: jnp.asarray(value))
    state = optimizer.init(W)._replace(rate=value)
    for one, given in ((optimizer, state), (schedules, schedules.init(W))):
        with pytest.raises(TypeError, match="learning_rate has the type (bool|complex64).*is not a number"):
            one.apply_gradients(W, W, given)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("held", [True, False])
def test_native_steps_see_rates_that_were_traced(value, held):
    """By a schedule, or put into the state by whoever sets it there."""
    state, step = eager(0.5 if held else Last(value))
    step = jax.jit(step)
    for _ in range(3):
        state = step(state)
    state = optax.tree.set(state, rate=jnp.float32(value)) if held else state
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="learning_rate=.* is not a finite number"):
        jax.block_until_ready(step(state))


@both
@ways
def test_rates_that_are_right(way, native):
    """Zero and integers, and the same numbers as a rate that is given."""
    state, step = WAYS[way](lambda step: 0)
    assert step(state).iterations == 1
    optimizer = RMSprop(Last(0.25), rho=0.0, epsilon=0.0)
    w, found = jnp.ones(()), []
    state = optimizer.init(w)
    for _ in range(5):
        new, state = optimizer.apply_gradients(w, w, state)
        found.append(float(w - new))
    assert found == [0.5, 0.5, 0.5, 0.25, 0.25]


def test_another_schedule_is_looked_at():
    optimizer = RMSprop(Last(0.25))
    _, state = optimizer.apply_gradients(W, W, optimizer.init(W))
    optimizer.learning_rate = lambda step: jnp.where(step < 1, 1.0, -1.0)
    with pytest.raises(ValueError, match="learning_rate="):
        optimizer.apply_gradients(W, W, state)
    optimizer.learning_rate = Last(0.125)
    assert optimizer.apply_gradients(W, W, state)[1].iterations == 2
