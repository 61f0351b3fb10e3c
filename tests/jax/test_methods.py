"""`minimize`, `finalize_variable_values` and what the class is for a Keras user."""

import jax
import jax.numpy as jnp
import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop.jax import RMSprop

PARAMS = {"a": jnp.asarray(numbers((3, 4))), "b": None}


@pytest.mark.parametrize("compiled", [False, True])
def test_the_example_of_the_specification(compiled):
    optimizer, w = RMSprop(learning_rate=0.1), jnp.array(10.0)

    def step(w, state):
        return optimizer.minimize(lambda w: w**2 / 2, w, state)

    w, state, value = (jax.jit(step) if compiled else step)(w, optimizer.init(w))
    assert (float(value), int(state.iterations)) == (50, 1)
    assert numpy.round(float(w), 6) == 9.683772


def test_minimize_hands_arguments_on_and_gives_back_what_came():
    optimizer = RMSprop(**EVERYTHING)

    def loss(params, factor, data):
        value = factor * (params["a"] ** 2).sum()
        return value, {"data": data}

    state = optimizer.init(PARAMS)
    params, after, (value, aux) = optimizer.minimize(loss, PARAMS, state, 2.0, "data", has_aux=True)
    assert (float(value), aux) == (float(2 * (PARAMS["a"] ** 2).sum()), {"data": "data"})
    grads = {"a": 4 * PARAMS["a"], "b": None}
    expected = optimizer.apply_gradients(grads, PARAMS, state)
    jax.tree.map(numpy.testing.assert_array_equal, (params, after), expected)


def test_minimize_refuses_what_is_no_function():
    optimizer = RMSprop()
    with pytest.raises(TypeError, match="loss=3 is not a function"):
        optimizer.minimize(3, PARAMS, optimizer.init(PARAMS))
    with pytest.raises(TypeError, match="parameter 'a' has the type int32"):
        optimizer.minimize(lambda params: 0.0, {"a": jnp.ones(2, int)}, optimizer.init(PARAMS))


@pytest.mark.parametrize("slot_dtype", [None, "bfloat16"])
def test_finalize_gives_the_averages(slot_dtype):
    optimizer = RMSprop(0.125, use_ema=True, ema_overwrite_frequency=None, slot_dtype=slot_dtype)
    state = optimizer.init(PARAMS)
    params, state = optimizer.apply_gradients(PARAMS, PARAMS, state)
    final = optimizer.finalize_variable_values(params, state)
    assert jax.tree.structure(final) == jax.tree.structure(params)
    assert final["a"].dtype == jnp.float32
    numpy.testing.assert_array_equal(final["a"], state.averages["a"].astype(jnp.float32))
    assert (final["a"] != params["a"]).any()
    assert final["a"].unsafe_buffer_pointer() != state.averages["a"].unsafe_buffer_pointer()


def test_finalize_without_averages_gives_the_parameters():
    optimizer = RMSprop()
    assert optimizer.finalize_variable_values(PARAMS, optimizer.init(PARAMS)) is PARAMS
    with pytest.raises(TypeError, match="a tuple, no RMSpropState"):
        optimizer.finalize_variable_values(PARAMS, ())


def test_one_optimizer_steps_several_models(compiled_steps):
    optimizer = RMSprop(momentum=0.9)
    others = {"kernel": jnp.ones(3)}
    mine, theirs = optimizer.init(PARAMS), optimizer.init(others)
    for _ in range(2):
        optimizer.apply_gradients(PARAMS, PARAMS, mine)
        optimizer.apply_gradients(others, others, theirs)
    assert compiled_steps() == 2


def test_it_shows_its_arguments():
    assert "rho=0.5" in repr(RMSprop(rho=0.5))
