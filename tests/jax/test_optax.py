"""Optax's RMSprop with epsilon inside the root is ours, as the README says to whoever comes from there."""

import jax
import numpy
import optax
import pytest

from rmsprop import RMSprop


@pytest.fixture(autouse=True)
def double():
    """Let JAX keep float64 here, and only here: the other tests of this process are about float32."""
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("momentum", [None, 0.9])
@pytest.mark.parametrize("centered", [False, True])
def test_the_same_numbers(momentum, centered):
    random = numpy.random.default_rng(0)
    w = random.normal(size=40)
    theirs = optax.rmsprop(
        0.05, decay=0.9, eps=1e-5, initial_scale=0.5, eps_in_sqrt=True, centered=centered, momentum=momentum
    )
    parameters, state = jax.numpy.asarray(w), theirs.init(jax.numpy.asarray(w))
    ours = RMSprop(0.05, rho=0.9, epsilon=1e-5, initial_velocity=0.5, centered=centered, momentum=momentum or 0.0)
    for _ in range(60):
        g = random.normal(0.1, 0.5, size=40)
        updates, state = theirs.update(jax.numpy.asarray(g), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        ours.apply_gradients([(g, w)])
    # 4e-16 to 2e-15 were measured, in weights up to 3.
    numpy.testing.assert_allclose(w, parameters, rtol=0, atol=2e-14)
