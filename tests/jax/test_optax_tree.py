"""Hyperparameters are got and set as optax does it, by name in the state; a mask that can be called may be a tree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy
import optax
import pytest

from rmsprop.jax import RMSprop, RMSpropState, rmsprop

PARAMS = {"w": jnp.ones(3), "b": jnp.array(2.0)}
GIVEN = {
    "learning_rate": 0.125, "rho": 0.5, "momentum": 0.25, "epsilon": 0.0078125, "weight_decay": 0.5, "clipnorm": 1.5,
    "clipvalue": 2.0, "global_clipnorm": 0.75, "ema_momentum": 0.875, "ema_overwrite_frequency": 4,
    "initial_velocity": 1.0,
}  # fmt: skip


def injected(name):
    """A transformation that keeps a state of every kind, with one argument given."""
    return optax.inject_hyperparams(rmsprop)(**{"momentum": 0.5} | {name: GIVEN[name]}, centered=True, use_ema=True)


@pytest.mark.parametrize("name", GIVEN)
def test_every_argument_is_got_and_set_by_its_name(name):
    transformation = injected(name)
    state = transformation.init(PARAMS)
    assert float(optax.tree.get(state, name)) == GIVEN[name]
    kind = optax.tree.get(state, name).dtype
    changed = optax.tree.set(state, **{name: jnp.asarray(GIVEN[name] / 2, kind)})
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    step = lambda: transformation.update(PARAMS, changed, PARAMS)[1]  # noqa: E731
    after = jax.jit(lambda: jax.lax.cond(True, step, lambda: state))()
    assert float(optax.tree.get(after, name)) == float(jnp.asarray(GIVEN[name] / 2, kind))


def test_a_rate_that_is_set_is_stepped_with():
    transformation = optax.inject_hyperparams(rmsprop)(learning_rate=0.1)
    state = transformation.init(PARAMS)
    moves = [transformation.update(PARAMS, one, PARAMS)[0] for one in (state, optax.tree.set(state, learning_rate=0.5))]
    numpy.testing.assert_allclose(moves[1]["w"], 5 * moves[0]["w"], rtol=1e-6)


def test_no_attribute_of_the_state_is_an_argument():
    """Whatever the state holds would be found besides the hyperparameter."""
    state = rmsprop(0.1, momentum=0.5, centered=True, use_ema=True).init(PARAMS)
    assert not set(RMSpropState._fields) & {*GIVEN, "centered", "use_ema", "name", "mask", "slot_dtype", "axis_name"}
    for name in GIVEN:
        with pytest.raises(KeyError):
            optax.tree.set(state, **{name: 0.5})


def test_the_optimizers_rate_is_set_in_its_state():
    optimizer, w = RMSprop(0.5, rho=0.0, epsilon=0.0), jnp.zeros(())
    state = optimizer.init(w)
    for given, expected in ((state, -0.5), (optax.tree.set(state, rate=jnp.float32(0.25)), -0.25)):
        assert float(optimizer.apply_gradients(jnp.ones(()), w, given)[0]) == expected


@pytest.mark.parametrize("way", ["set", "replace", "of the optimizer"])
def test_a_rate_that_the_transformation_would_not_read(way):
    transformation = rmsprop(0.1)
    state = transformation.init(PARAMS)
    state = {
        "set": lambda: optax.tree.set(state, rate=0.5),
        "replace": lambda: state._replace(rate=jnp.float32(0.5)),
        "of the optimizer": lambda: RMSprop(0.5).init(PARAMS),
    }[way]()
    for update in (transformation.update, jax.jit(transformation.update)):
        with pytest.raises(ValueError, match=r"state.rate=.*inject_hyperparams.*_replace\(rate=None\)"):
            update(PARAMS, state, PARAMS)
    transformation.update(PARAMS, state._replace(rate=None), PARAMS)


def decayed(mask, params):
    """Which parameters a step with no gradient moves, by their paths."""
    transformation = rmsprop(0.1, weight_decay=0.5, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transformation.update(zeros, transformation.init(params), params)
    pairs, _ = jax.tree_util.tree_flatten_with_path(updates)
    return {jax.tree_util.keystr(path): bool(jnp.any(update)) for path, update in pairs}


class Called(eqx.Module):
    """A tree without layers of Equinox's that can be called."""

    w: jax.Array
    inner: dict

    def __call__(self, x):
        raise AssertionError("a mask that is a tree was called")


@pytest.mark.slow
def test_masks_that_are_trees_and_can_be_called():
    networks = (
        eqx.nn.Linear(2, 2, key=jax.random.key(0)),
        eqx.nn.MLP(2, 1, 3, 2, key=jax.random.key(0)),
        Called(jnp.ones(2), {"bias": jnp.ones(2)}),
    )
    for network in networks:
        params = eqx.filter(network, eqx.is_inexact_array)
        by_path = jax.tree_util.tree_map_with_path(lambda path, _: "bias" not in jax.tree_util.keystr(path), params)
        found = decayed(by_path, params)
        assert found == {name: "bias" not in name for name in found}
        assert {*found.values()} == {True, False}
        assert decayed(lambda params, mask=by_path: mask, params) == found


def test_masks_that_are_functions():
    params = {"w": jnp.ones(2), "bias": jnp.ones(2)}

    class Function:
        def __call__(self, params):
            return {"w": True, "bias": False}

    for mask in (Function(), Function().__call__, lambda params: {"w": True, "bias": False}):
        assert decayed(mask, params) == {"['w']": True, "['bias']": False}
    with pytest.raises(TypeError, match="mask holds <function"):
        decayed({"w": lambda: True, "bias": False}, params)
