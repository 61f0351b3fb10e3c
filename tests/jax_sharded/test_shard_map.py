"""Sharded parameters within `jax.shard_map`: norms over all shards, of the axes that `axis_name` says."""

import jax
import jax.numpy as jnp
import meshes
import numpy
import optax
import pytest
from jax.sharding import PartitionSpec as P

from rmsprop.jax import RMSprop, RMSpropState, rmsprop

AXES = ("rows", "columns")
CLIPS = [{"clipnorm": 0.5}, {"global_clipnorm": 2.0}]


def specs_of(optimizer, params):
    """The specs of a state: those of the parameters for each slot, none for the rest."""
    state = jax.eval_shape(optimizer.init, params)
    return RMSpropState(*(meshes.SPECS if isinstance(one, dict) else one if one is None else P() for one in state))


def step_within(optimizer, mesh, params, **options):
    specs = specs_of(optimizer, params)
    inner = optimizer.apply_gradients if isinstance(optimizer, RMSprop) else _applied(optimizer)
    return jax.jit(
        jax.shard_map(
            inner,
            mesh=mesh,
            in_specs=(meshes.SPECS, meshes.SPECS, specs),
            out_specs=(meshes.SPECS, specs),
            **options,
        )
    )


def _applied(transformation):
    def step(grads, params, state):
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step


@pytest.mark.parametrize("make", [RMSprop, rmsprop])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.matrix(2)
def test_trajectory_equals_that_on_one_device(clip, make):
    options, mesh = meshes.EVERYTHING | clip, meshes.mesh()
    optimizer, alone = make(**options, axis_name=AXES), RMSprop(**options)
    one = meshes.arrays()
    many, other = meshes.sharded(one, mesh), alone.init(one)
    state, step = optimizer.init(many), step_within(optimizer, mesh, many)
    for seed in range(1, 8):
        grads = meshes.arrays(seed)
        many, state = step(meshes.sharded(grads, mesh), many, state)
        one, other = alone.apply_gradients(grads, one, other)
    assert meshes.is_sharded_alike(many, mesh)
    # Measured 5.3e-8: norms are summed in another order.
    assert meshes.difference(many, one) <= 3e-7


def test_init_within():
    mesh, optimizer = meshes.mesh(), RMSprop(**meshes.EVERYTHING)
    params = meshes.sharded(meshes.arrays(), mesh)
    init = jax.shard_map(optimizer.init, mesh=mesh, in_specs=(meshes.SPECS,), out_specs=specs_of(optimizer, params))
    state = jax.jit(init)(params)
    assert meshes.is_sharded_alike(state.velocities, mesh)
    assert meshes.difference(state.averages, params) == 0


def test_without_checks_every_gradient_counts_as_sharded():
    """`check_vma=False` hides which are: a parameter that is on every device counts once for each."""
    mesh, options = meshes.mesh(), {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, "global_clipnorm": 1.0}
    optimizer = RMSprop(**options, axis_name=AXES)
    params = meshes.sharded(jax.tree.map(jnp.zeros_like, meshes.arrays()), mesh)
    grads = {name: jnp.ones_like(one) for name, one in params.items()}
    new, _ = step_within(optimizer, mesh, params, check_vma=False)(grads, params, optimizer.init(params))
    # The table is on 2 devices along "columns", the bias on 4 along "rows", the scale on all 8.
    norm = numpy.sqrt(16 * 8 + 2 * 8 * 6 + 4 * 10 + 8)
    numpy.testing.assert_allclose(new["scale"], -1 / norm, rtol=3e-7)


@pytest.mark.parametrize("make", [RMSprop, rmsprop])
def test_a_norm_of_shards_is_asked_for(make):
    mesh, optimizer = meshes.mesh(), make(clipnorm=1.0)
    params = meshes.sharded(meshes.arrays(), mesh)
    with pytest.raises(ValueError, match=r"along the mesh axes.*axis_name"):
        step_within(optimizer, mesh, params)(params, params, optimizer.init(params))


def test_norms_of_each_device_on_its_own():
    """Eight models, one on each device; their norms have nothing to do with each other."""
    mesh = jax.make_mesh((8,), ("models",), axis_types=(jax.sharding.AxisType.Auto,))
    optimizer = RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0, global_clipnorm=1.0, axis_name=())
    params = jnp.zeros((8, 2))
    grads = jnp.arange(8.0)[:, None] * jnp.array([0.6, 0.8])

    def step(grads, params):
        return optimizer.apply_gradients(grads, params, optimizer.init(params))[0]

    mapped = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=P("models"), out_specs=P("models")))
    expected = -numpy.minimum(numpy.arange(8), 1)[:, None] * numpy.array([0.6, 0.8])
    numpy.testing.assert_allclose(mapped(grads, params), expected, rtol=3e-7)
