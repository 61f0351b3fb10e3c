"""Memory that is given away is stepped in place; memory that is kept stays as it is."""

import jax
import jax.numpy as jnp
import numpy
import pytest
from arrays import EVERYTHING
from native_runs import assert_near, assert_same, copies, optimizer, places

from rmsprop.jax import row_sparse

PARAMS = {"kernel": jnp.ones((300, 200)), "bias": jnp.ones(7), "number": jnp.ones(()), "nothing": jnp.ones((0, 3))}
GRADS = jax.tree.map(lambda one: one / 2, PARAMS)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_donated_memory_is_used_again(options, monkeypatch):
    one, params = optimizer(monkeypatch, **options), copies(PARAMS)
    state = copies(one.init(params))
    wanted = one.apply_gradients(GRADS, params, state)
    before = places((params, state))
    new = jax.jit(one.apply_gradients, donate_argnums=(1, 2))(GRADS, params, state)
    assert params["kernel"].is_deleted()
    # In this order: a result in the memory of another's predecessor is a copy.
    assert places(new) == before
    assert_same(new, wanted)


def test_kept_memory_stays(monkeypatch):
    one, params = optimizer(monkeypatch, **EVERYTHING), copies(PARAMS)
    state = one.init(params)
    before = jax.tree.map(numpy.array, (GRADS, params, state))
    step = jax.jit(one.apply_gradients)
    new = step(GRADS, params, state)
    newer = step(GRADS, *new)
    assert_same((GRADS, params, state), before)
    # The old values are stepped from again.
    assert_same(step(GRADS, params, state), new)
    assert_same(step(GRADS, *new), newer)
    assert (new[0]["kernel"] != params["kernel"]).all()


@pytest.mark.parametrize("donated", [(), (1, 2)], ids=["kept", "donated"])
def test_no_temporary_of_a_parameter_s_size(donated, monkeypatch):
    one = optimizer(monkeypatch, **EVERYTHING)
    step = jax.jit(one.apply_gradients, donate_argnums=donated)
    memory = step.lower(GRADS, PARAMS, one.init(PARAMS)).compile().memory_analysis()
    # The call's own tables of a few numbers. A parameter has 240000 bytes.
    assert memory.temp_size_in_bytes < 1000
    given = memory.output_size_in_bytes - memory.alias_size_in_bytes
    assert (given < 1000) == bool(donated)


@pytest.mark.parametrize("donated", [(), (0, 1)], ids=["kept", "donated"])
def test_a_gradient_that_is_the_variable(donated, monkeypatch):
    one = optimizer(monkeypatch, learning_rate=0.1)
    step = jax.jit(lambda params, state: one.apply_gradients(params, params, state), donate_argnums=donated)
    params = [jnp.full(5000, 10.0), jnp.arange(7.0)]
    wanted = one.apply_gradients(copies(params), params, one.init(params))
    assert wanted[0][0][0] == numpy.float32(9.683772)
    assert_same(step(params, one.init(params)), wanted)


def test_the_same_array_twice(monkeypatch):
    one, array = optimizer(monkeypatch, learning_rate=0.1, momentum=0.5), jnp.linspace(-1, 1, 40_000)
    state = one.init([array, array])
    # Their velocities and momenta are one array each as well.
    state = state._replace(velocities=[state.velocities[0]] * 2, momentums=[state.momentums[0]] * 2)
    new, _ = jax.jit(one.apply_gradients)([array, 2 * array], [array, array], state)
    apart = copies([array, array])
    wanted, _ = one.apply_gradients(copies([array, 2 * array]), apart, one.init(apart))
    assert_same(new, wanted)


def test_state_that_starts_as_the_parameters(monkeypatch):
    """The average may be the parameter's own array: nobody copied it."""
    one, params = optimizer(monkeypatch, use_ema=True), copies(PARAMS)
    state = one.init(params)._replace(averages=params)
    step = jax.jit(one.apply_gradients)
    assert_same(step(GRADS, params, state), step(GRADS, params, copies(state)))


def test_row_sparse_gradients(monkeypatch):
    params = {"table": jnp.ones((50, 3)), "bias": jnp.ones(3)}
    # Rows that are not there are left out.
    rows = jax.jit(lambda indices: row_sparse(indices, jnp.ones((5, 3)), (50, 3)))(jnp.array([4, 0, 4, 60, -1]))
    given = {"table": rows, "bias": jnp.ones(3)}
    found, wanted = (
        one.apply_gradients(given, params, one.init(params))
        for one in (optimizer(monkeypatch, native, **EVERYTHING) for native in (True, False))
    )
    assert_near(found, wanted, 1e-6)
