"""`RMSprop.rate`: the learning rate that the next step uses, whatever it comes from."""

import jax
import jax.numpy as jnp
import optax
import pytest

from rmsprop.jax import RMSprop
from rmsprop.schedules import ExponentialDecay

#: With these a step takes off the learning rate, exactly.
PLAIN = {"rho": 1.0, "epsilon": 1.0}
ONE, ZERO = jnp.ones(()), jnp.zeros(())
RATES = {
    "a number": 0.5,
    "an array": jnp.float32(0.5),
    "ours": ExponentialDecay(1.0, 1, 0.5),
    "optax": optax.piecewise_constant_schedule(1.0, {2: 0.25}),
    "a function": lambda step: 1.0 / (step + 1),
    "a constant function": lambda step: 0.25,
}


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("compiled", [False, True])
def test_it_is_what_the_next_step_takes_off(name, compiled):
    optimizer = RMSprop(RATES[name], **PLAIN)
    state = optimizer.init(ZERO)
    rate, step = optimizer.rate, optimizer.apply_gradients
    if compiled:
        rate, step = jax.jit(rate), jax.jit(step)
    for _ in range(4):
        expected = rate(state)
        assert (expected.shape, expected.dtype) == ((), jnp.float32)
        new, state = step(ONE, ZERO, state)
        assert float(new) == -float(expected)


def test_a_step_may_return_it():
    optimizer = RMSprop(ExponentialDecay(1.0, 1, 0.5), **PLAIN)

    @jax.jit
    def train(params, state):
        rate = optimizer.rate(state)
        params, state = optimizer.apply_gradients(ONE, params, state)
        return params, state, rate

    params, state, found = ZERO, optimizer.init(ZERO), []
    for _ in range(3):
        params, state, rate = train(params, state)
        found.append(float(rate))
    assert found == [1.0, 0.5, 0.25]


def test_a_rate_that_was_set_is_the_states_and_not_the_optimizers():
    optimizer = RMSprop(0.5)
    state = optimizer.set_learning_rate(optimizer.init(ZERO), 0.25)
    assert (float(optimizer.rate(state)), optimizer.learning_rate) == (0.25, 0.5)
    assert float(jax.jit(optimizer.rate)(state)) == 0.25


def test_an_assigned_rate_is_that_of_the_next_step_that_is_not_traced():
    optimizer = RMSprop(0.5, **PLAIN)
    state = optimizer.init(ZERO)
    optimizer.learning_rate = 0.25
    assert float(optimizer.rate(state)) == 0.25
    with pytest.raises(RuntimeError, match=r"learning_rate=0\.25 was assigned after init"):
        jax.jit(optimizer.rate)(state)
    new, state = optimizer.apply_gradients(ONE, ZERO, state)
    assert (float(new), float(optimizer.rate(state))) == (-0.25, 0.25)


def test_a_function_of_nothing_is_called():
    rates = iter([9.0, 0.5])
    optimizer = RMSprop(lambda: next(rates))
    state = optimizer.init(ZERO)
    assert float(optimizer.rate(state)) == 0.5
    with pytest.raises(TypeError, match="takes no step"):
        jax.jit(optimizer.rate)(state)


def test_a_rate_of_each_model():
    optimizer = RMSprop(0.5)
    state = jax.vmap(optimizer.init)(jnp.zeros(3))._replace(rate=jnp.array([1.0, 2.0, 4.0]))
    assert jax.vmap(optimizer.rate)(state).tolist() == [1, 2, 4]


def test_what_has_none_is_refused():
    optimizer = RMSprop(lambda step: 0.25)
    with pytest.raises(ValueError, match="the state holds one, but the schedule"):
        optimizer.rate(RMSprop(0.5).init(ZERO))
    with pytest.raises(TypeError, match="a tuple, no RMSpropState"):
        optimizer.rate(())
    with pytest.raises(ValueError, match=r"learning_rate=-1\.0"):
        RMSprop(lambda step: -1.0).rate(optimizer.init(ZERO))
