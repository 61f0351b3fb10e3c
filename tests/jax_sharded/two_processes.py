"""One of two processes with four devices each, that train sharded parameters together; prints their sum."""

import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import meshes
import numpy
from jax.experimental.multihost_utils import process_allgather

from rmsprop.jax import RMSprop


def train():
    mesh, optimizer = meshes.mesh(), RMSprop(**meshes.EVERYTHING, global_clipnorm=2.0)

    def placed(arrays):
        shardings = meshes.shardings(mesh)
        return {
            name: jax.make_array_from_callback(one.shape, shardings[name], numpy.asarray(one).__getitem__)
            for name, one in arrays.items()
        }

    params = placed(meshes.arrays())
    state = optimizer.init(params)
    assert not params["kernel"].is_fully_addressable
    for seed in range(1, 5):
        params, state = optimizer.apply_gradients(placed(meshes.arrays(seed)), params, state)
    assert meshes.is_sharded_alike(state.velocities, mesh)
    return {name: process_allgather(one, tiled=True) for name, one in params.items()}


if __name__ == "__main__":
    port, place, path = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=int(place))
    found = train()
    numpy.savez(path, **found)
