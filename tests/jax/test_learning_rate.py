"""How a learning rate reaches a step: as a number in the state, from a schedule, or from a function."""

import jax
import jax.numpy as jnp
import numpy
import optax
import pytest

from rmsprop.jax import RMSprop, rmsprop
from rmsprop.schedules import CosineDecay, ExponentialDecay, LearningRateSchedule

#: With these a step takes off the learning rate, exactly.
PLAIN = {"rho": 1.0, "epsilon": 1.0}
ONE = jnp.ones(())


def moves(optimizer, steps, *, compiled, change=lambda state, step: state):
    """What each step takes off."""
    w, found = jnp.zeros(()), []
    state = optimizer.init(w)
    run = jax.jit(optimizer.apply_gradients) if compiled else optimizer.apply_gradients
    for step in range(steps):
        new, state = run(ONE, w, change(state, step))
        found.append(float(w - new))
        w = jnp.zeros(())
    return found


@pytest.mark.parametrize("compiled", [False, True])
def test_another_rate_compiles_nothing(compiled, compiled_steps):
    optimizer = RMSprop(0.5, **PLAIN)
    rates = [0.5, 0.25, 1, jnp.float32(0.125), numpy.float64(2.0)]
    found = moves(
        optimizer, 5, compiled=compiled, change=lambda state, step: optimizer.set_learning_rate(state, rates[step])
    )
    assert found == rates
    assert compiled_steps() == 1


def test_assigning_reaches_the_next_step(compiled_steps):
    optimizer, w = RMSprop(0.5, **PLAIN), jnp.zeros(())
    state = optimizer.init(w)
    optimizer.learning_rate = 0.25
    new, state = optimizer.apply_gradients(ONE, w, state)
    assert (float(new), float(state.rate), optimizer.learning_rate) == (-0.25, 0.25, 0.25)
    new, state = optimizer.apply_gradients(ONE, w, optimizer.set_learning_rate(state, 2.0))
    assert float(new) == -2.0
    assert float(optimizer.init(w).rate) == 0.25
    assert compiled_steps() == 1


def test_assigning_does_not_reach_compiled_steps_and_says_so():
    optimizer, w = RMSprop(0.5), jnp.zeros(())
    state = optimizer.init(w)
    optimizer.learning_rate = 0.25
    step = jax.jit(optimizer.apply_gradients)
    with pytest.raises(RuntimeError, match=r"learning_rate=0.25 was assigned after init\(\).*set_learning_rate"):
        step(ONE, w, state)
    step(ONE, w, optimizer.init(w))
    with pytest.raises(RuntimeError, match=r"learning_rate=0.125 would not reach.*set_learning_rate"):
        optimizer.learning_rate = 0.125


def test_a_rate_that_is_an_array_is_not_given_away():
    rate, other = jnp.float32(0.5), jnp.float32(0.25)
    optimizer = RMSprop(rate, **PLAIN)
    step = jax.jit(lambda params, state: optimizer.apply_gradients(ONE, params, state), donate_argnums=(0, 1))
    for _ in range(2):
        new, state = step(jnp.zeros(()), optimizer.init(ONE))
        assert float(new) == -0.5
        new, state = step(jnp.zeros(()), optimizer.set_learning_rate(state, other))
        assert float(new) == -0.25
    assert (float(rate), float(other), float(optimizer.learning_rate)) == (0.5, 0.25, 0.5)


@pytest.mark.parametrize("value", [-1.0, float("nan"), jnp.float32(-1), "x", None, True, lambda step: 0.1])
def test_refused_rates(value):
    optimizer = RMSprop()
    state = optimizer.init(ONE)
    with pytest.raises((TypeError, ValueError), match="learning_rate="):
        optimizer.set_learning_rate(state, value)


def test_a_number_does_not_replace_a_schedule():
    optimizer = RMSprop(CosineDecay(0.1, 10))
    state = optimizer.init(ONE)
    assert state.rate is None
    with pytest.raises(TypeError, match=r"learning_rate=0.5 cannot be set while the schedule CosineDecay"):
        optimizer.learning_rate = 0.5
    with pytest.raises(TypeError, match=r"learning_rate=0.5 cannot be set while the schedule CosineDecay"):
        optimizer.set_learning_rate(state, 0.5)
    with pytest.raises(ValueError, match="cannot be set in a state without one: it was made where a schedule ruled"):
        RMSprop().set_learning_rate(state, 0.5)


def test_a_schedule_replaces_a_number():
    optimizer = RMSprop(0.5, **PLAIN)
    state = optimizer.init(ONE)
    optimizer.learning_rate = ExponentialDecay(2.0, 1, 0.5)
    new, state = optimizer.apply_gradients(ONE, jnp.zeros(()), state)
    new, state = optimizer.apply_gradients(ONE, jnp.zeros(()), state)
    assert (float(new), state.rate) == (-1.0, None)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_schedule_and_a_number_in_the_state_exclude_each_other(compiled):
    """The number would have been used, and the schedule passed over."""
    optimizer, w = RMSprop(lambda step: 0.25, **PLAIN), jnp.zeros(())
    step = jax.jit(optimizer.apply_gradients) if compiled else optimizer.apply_gradients
    state = RMSprop(0.5, **PLAIN).init(w)
    with pytest.raises(ValueError, match=r"state.rate: the state holds one, but the schedule.*_replace"):
        step(ONE, w, state)
    assert float(step(ONE, w, state._replace(rate=None))[0]) == -0.25


@pytest.mark.parametrize("native", ["0", "1"])
def test_a_rate_is_one_number(native, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", native)
    w, rates = jnp.ones(2), jnp.array([0.5, 0.25])
    held, given = RMSprop(0.5), RMSprop(lambda step: rates)
    state, transformation = held.init(w)._replace(rate=rates), rmsprop(lambda step: rates)
    for step in (
        lambda: held.apply_gradients(w, w, state),
        lambda: given.apply_gradients(w, w, given.init(w)),
        lambda: transformation.update(w, transformation.init(w), w),
    ):
        with pytest.raises(ValueError, match=r"learning_rate has the shape \(2,\).*vmap"):
            step()
    with pytest.raises(TypeError, match="learning_rate=None, which a schedule gave, is not a number"):
        RMSprop(lambda step: None).apply_gradients(w, w, given.init(w))


class Halving(LearningRateSchedule):
    def __call__(self, step):
        return jnp.where(step < 2, 1.0, 0.5)

    def get_config(self):
        return {}


SCHEDULES = {
    "ours": (ExponentialDecay(1.0, 1, 0.5), [1.0, 0.5, 0.25]),
    "a class": (Halving(), [1.0, 1.0, 0.5]),
    "optax": (optax.piecewise_constant_schedule(1.0, {2: 0.25}), [1.0, 1.0, 0.25]),
    "a function": (lambda step: 1.0 / (step + 1), [1.0, 0.5, float(jnp.float32(1) / 3)]),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("compiled", [False, True])
def test_schedules(name, compiled):
    rate, expected = SCHEDULES[name]
    found = moves(RMSprop(rate, **PLAIN), 3, compiled=compiled)
    assert found == expected
    transformation, w = rmsprop(rate, **PLAIN), jnp.zeros(())
    state, found = transformation.init(w), []
    update = jax.jit(transformation.update) if compiled else transformation.update
    for _ in range(3):
        updates, state = update(ONE, state, w)
        found.append(-float(updates))
    assert found == expected


def test_a_function_of_nothing_is_called_at_every_step(compiled_steps):
    rates = iter([9.0, 1.0, 0.5, 0.25])
    optimizer = RMSprop(lambda: next(rates), **PLAIN)
    found = moves(optimizer, 3, compiled=False)
    assert found == [1.0, 0.5, 0.25]
    assert compiled_steps() == 1


def test_a_function_of_nothing_is_not_traced():
    optimizer = RMSprop(lambda: 0.5)
    with pytest.raises(TypeError, match="takes no step: it would be called when the step is traced"):
        jax.jit(optimizer.apply_gradients)(ONE, ONE, optimizer.init(ONE))
    with pytest.raises(TypeError, match="takes no step.*inject_hyperparams"):
        rmsprop(lambda: 0.5)
    with pytest.raises(ValueError, match=r"learning_rate\(\)=-1"):
        RMSprop(lambda: -1).init(ONE)


def test_a_rate_of_each_model():
    optimizer = RMSprop(0.5, **PLAIN)
    state = jax.vmap(optimizer.init)(jnp.zeros(3))
    state = state._replace(rate=jnp.array([1.0, 2.0, 4.0]))
    new, _ = jax.vmap(optimizer.apply_gradients)(jnp.ones(3), jnp.zeros(3), state)
    numpy.testing.assert_array_equal(new, [-1, -2, -4])
    state = optimizer.set_learning_rate(state, 0.5)
    numpy.testing.assert_array_equal(state.rate, [0.5, 0.5, 0.5])
