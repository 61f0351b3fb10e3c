"""Trees without parameters need none, and `init` takes descriptions of arrays, as those of optax's transformations."""

import jax
import jax.numpy as jnp
import optax
import pytest

from rmsprop.jax import RMSprop, rmsprop

EVERYTHING = {"momentum": 0.9, "centered": True, "use_ema": True, "weight_decay": 0.1, "global_clipnorm": 1.0}
makes = pytest.mark.parametrize("make", [RMSprop, rmsprop])


@pytest.mark.parametrize("options", [{}, EVERYTHING, EVERYTHING | {"mask": {"a": True}}])
@pytest.mark.parametrize("nothing", [[], {}, (), None, {"a": None}, [{}, ()]], ids=str)
def test_nothing_to_step(nothing, options):
    transformation = rmsprop(0.1, **options)
    updates, state = transformation.update(nothing, transformation.init(nothing))
    assert updates == nothing
    assert jax.tree.structure(state) == jax.tree.structure(transformation.init(nothing))


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_everything_is_masked(options):
    params = {"a": jnp.ones(2)}
    for mask in ({"a": False}, lambda params: {"a": False}):
        transformation = optax.masked(rmsprop(0.1, **options), mask)
        updates, _ = transformation.update(params, transformation.init(params))
        assert updates["a"] is params["a"]
        transformation.update(params, transformation.init(params), params)


def test_something_to_step_needs_parameters():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    transformation = optax.masked(rmsprop(0.1), {"a": False, "b": True})
    with pytest.raises(ValueError, match="params=None: pass the parameters"):
        transformation.update(params, transformation.init(params))


@makes
@pytest.mark.parametrize("options", [{}, EVERYTHING, {"slot_dtype": "float32", "initial_velocity": 1.0}])
def test_descriptions_of_arrays(make, options):
    structs = {"w": jax.ShapeDtypeStruct((2, 3), jnp.float32), "b": jax.ShapeDtypeStruct((), jnp.bfloat16)}
    arrays = {name: jnp.zeros(one.shape, one.dtype) for name, one in structs.items()}
    found, expected = make(0.1, **options).init(structs), make(0.1, **options).init(arrays)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(one, jax.Array)
        assert (one.shape, one.dtype, one.weak_type) == (other.shape, other.dtype, other.weak_type)
        assert jnp.array_equal(one, other)


def test_descriptions_keep_their_sharding():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    state = rmsprop(0.1).init(jax.ShapeDtypeStruct((2,), jnp.float32, sharding=sharding))
    assert state.velocities.sharding == sharding


def test_a_step_needs_arrays():
    struct, array = jax.ShapeDtypeStruct((2,), jnp.float32), jnp.ones(2)
    optimizer, transformation = RMSprop(0.1), rmsprop(0.1)
    with pytest.raises(TypeError, match="ShapeDtypeStruct"):
        optimizer.apply_gradients(array, struct, optimizer.init(struct))
    with pytest.raises(TypeError, match="is a ShapeDtypeStruct, not an array"):
        transformation.update(array, transformation.init(struct), struct)


@makes
def test_descriptions_of_what_is_no_float(make):
    with pytest.raises(TypeError, match="has the type int32"):
        make(0.1).init({"w": jax.ShapeDtypeStruct((2,), jnp.int32)})
