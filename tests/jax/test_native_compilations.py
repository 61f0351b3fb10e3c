"""A second step, another learning rate and other options that are arrays compile nothing."""

import jax
import jax.numpy as jnp
import pytest
from arrays import EVERYTHING
from native_runs import CALL, assert_near, optimizer, text

from rmsprop._core.cpu import kernels
from rmsprop._core.items import Item
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions

PARAMS = {"kernel": jnp.ones((30, 20)), "bias": jnp.ones(7)}


@pytest.mark.parametrize("compiled", [True, False], ids=["jit", "eager"])
def test_a_second_step(compiled, compilations, monkeypatch):
    one = optimizer(monkeypatch, **EVERYTHING)
    step = jax.jit(one.apply_gradients) if compiled else one.apply_gradients
    state, rates = one.init(PARAMS), [jnp.float32(0.1), jnp.float32(0.2)]
    states = [one.set_learning_rate(state, rate) for rate in rates]
    first, _ = step(PARAMS, PARAMS, states[0])
    assert compilations
    found = set(kernels._found)
    del compilations[:]
    second, state = step(PARAMS, PARAMS, states[1])
    step(PARAMS, second, state)
    assert not compilations
    assert set(kernels._found) == found
    assert (first["kernel"] != second["kernel"]).all()


def options_of(rho, limit, frequency):
    return ArrayOptions(
        rho=rho, momentum=0.5, weight_decay=0.01, global_clipnorm=limit, use_ema=True, ema_overwrite_frequency=frequency
    )


def step(native, iterations, rate, *numbers):
    kept = {name: jnp.full((30, 20), 0.25) for name in ("velocity", "momentum", "average")}
    item = Item(PARAMS["kernel"], PARAMS["kernel"], kept, True)
    return engine.step(options_of(*numbers), [item], rate, iterations, native=native)


@pytest.mark.parametrize("iterations", [0, 2])
def test_options_that_are_arrays_are_read_when_it_runs(iterations, compilations):
    traced = jax.jit(lambda *given: step(True, *given))
    numbers = [(jnp.float32(0.9), jnp.float32(0.5), jnp.int32(3)), (jnp.float32(0.3), jnp.float32(1e3), jnp.int32(2))]
    given = [jnp.int32(iterations), jnp.float32(0.01)]
    assert CALL in text(traced, *given, *numbers[0])
    traced(*given, *numbers[0])
    del compilations[:]
    found = [traced(*given, *some) for some in numbers]
    assert not compilations
    for one, some in zip(found, numbers, strict=True):
        # A complement of rho is taken in float32 where rho is an array, as on the way by XLA.
        assert_near(one, step(False, iterations, 0.01, *[number.item() for number in some]), 1e-6)


def test_an_eager_step_is_compiled_once(compilations):
    """Also by who makes the options anew at every step."""
    first = step(True, 0, 0.01, 0.9, 0.5, 3)
    assert compilations
    del compilations[:]
    assert_near(step(True, 1, 0.02, 0.9, 0.5, 3), first, 1)
    assert not compilations
