"""`explain()` where JAX has several devices."""

import explanations
import jax
import jax.numpy as jnp
import pytest

from rmsprop.jax import RMSprop


@pytest.mark.parametrize("devices", [None, jax.devices(), jax.devices()[:1]], ids=["all", "each", "one"])
@pytest.mark.parametrize("placed", [None, 0, 3])
def test_nothing_is_native_in_a_process_of_several(devices, placed):
    """Wherever the arrays are, which nothing tells under `jit`."""
    optimizer, params = RMSprop(), {"w": jnp.ones((8, 2))}
    if placed is not None:
        params = jax.device_put(params, jax.devices()[placed])
    lowered = jax.jit(optimizer.apply_gradients).lower(params, params, optimizer.init(params)).as_text()
    assert "rmsprop_step" not in lowered
    found = optimizer.explain(params, devices=devices)
    assert explanations.ways(found) == {"w": ("traced", "xla", "8 cpu devices: one CPU is needed")}
    assert (found.launches, found.threads) == (0, 0)
