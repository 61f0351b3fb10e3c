"""`load` puts a state on the devices on which `init` has it."""

import jax
import jax.numpy as jnp
import numpy
from jax.sharding import NamedSharding, PartitionSpec

from rmsprop.jax import RMSprop


def test_a_state_over_several_devices(tmp_path):
    mesh = jax.make_mesh((len(jax.devices()),), ("x",))
    size = 4 * len(jax.devices())
    params = {
        "split": jax.device_put(jnp.arange(float(size)), NamedSharding(mesh, PartitionSpec("x"))),
        "whole": jax.device_put(jnp.arange(3.0), NamedSharding(mesh, PartitionSpec())),
    }
    optimizer = RMSprop(0.125, momentum=0.5)
    params, state = optimizer.apply_gradients(jax.tree.map(jnp.ones_like, params), params, optimizer.init(params))
    optimizer.save(tmp_path / "run", params, state, variables=True)
    loaded, again = RMSprop(momentum=0.5).load(tmp_path / "run", params, variables=True)
    for one, other in zip(*map(jax.tree.leaves, ((params, state), (loaded, again))), strict=True):
        numpy.testing.assert_array_equal(one, other)
    for tree in (loaded, again.velocities, again.momentums):
        assert {name: array.sharding for name, array in tree.items()} == {
            name: array.sharding for name, array in params.items()
        }
