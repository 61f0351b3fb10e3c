"""Parameters on a mesh of four by two devices, and the same on one."""

import jax
import jax.numpy as jnp
import numpy
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

#: Everything that a step can do between shards and within them.
EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "use_ema": True,
    "ema_overwrite_frequency": 3,
}  # fmt: skip

#: How each parameter is cut up.
SPECS = {"kernel": P("rows", "columns"), "table": P("rows"), "bias": P("columns"), "scale": P()}
SHAPES = {"kernel": (16, 8), "table": (8, 6), "bias": (10,), "scale": ()}


def mesh(kind="Auto"):
    return jax.make_mesh((4, 2), ("rows", "columns"), axis_types=(AxisType[kind],) * 2)


def arrays(seed=0):
    random = numpy.random.default_rng(seed)
    return {name: jnp.asarray(random.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


def shardings(on):
    return {name: NamedSharding(on, spec) for name, spec in SPECS.items()}


def sharded(tree, on):
    return jax.device_put(tree, shardings(on))


def is_sharded_alike(tree, on):
    """Whether each array of a tree lies as its parameter does."""
    return all(tree[name].sharding.is_equivalent_to(one, tree[name].ndim) for name, one in shardings(on).items())


def difference(tree, other):
    """The largest difference between two trees, relative to the largest element of each array."""
    pairs = [(numpy.asarray(one), numpy.asarray(other[name])) for name, one in tree.items()]
    return max(float(abs(one - wanted).max() / abs(wanted).max()) for one, wanted in pairs)
