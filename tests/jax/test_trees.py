"""Trees of every kind: what is left out, what is refused, and by which name."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy
import optax
import pytest
from arrays import EVERYTHING
from jax_runs import WAYS

from rmsprop.jax import RMSprop, RMSpropState, rmsprop

ways = pytest.mark.parametrize("way", WAYS)
PARAMS = {"encoder": [{"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, None], "scale": jnp.float32(2)}


def run(way, grads, params=PARAMS, **options):
    ran = WAYS[way](params, **options)
    ran.step(grads)
    return ran


@ways
def test_the_tree_stays_what_it_is(way):
    ran = run(way, PARAMS, **EVERYTHING)
    for tree in (ran.params, ran.state.velocities, ran.state.momentums, ran.state.averages):
        assert jax.tree.structure(tree) == jax.tree.structure(PARAMS)


@ways
@pytest.mark.parametrize("tree", [(), {}, None, [None]], ids=str)
def test_no_parameter_is_no_step(way, tree):
    ran = run(way, tree, tree)
    assert ran.state.iterations == 0
    assert ran.params == tree


@ways
@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: (w,), lambda w: {"a": {"b": w}}])
def test_a_single_array_is_a_tree(way, wrap):
    ran = run(way, wrap(jnp.full(3, 10.0)), wrap(jnp.full(3, 10.0)), learning_rate=0.1)
    numpy.testing.assert_allclose(jax.tree.leaves(ran.params)[0], 9.683772, rtol=1e-7)


def test_a_parameter_without_gradient_stays_as_it_is():
    grads = {"encoder": [{"kernel": jnp.ones((2, 3)), "bias": None}, None], "scale": None}
    optimizer = RMSprop(**EVERYTHING | {"ema_overwrite_frequency": 1})
    before = optimizer.init(PARAMS)
    with pytest.warns(UserWarning, match="left as they are: encoder/0/bias, scale"):
        params, state = optimizer.apply_gradients(grads, PARAMS, before)
    assert state.iterations == 1
    for old, new in ((PARAMS, params), (before.velocities, state.velocities), (before.averages, state.averages)):
        numpy.testing.assert_array_equal(old["scale"], new["scale"])
        numpy.testing.assert_array_equal(old["encoder"][0]["bias"], new["encoder"][0]["bias"])
    assert (params["encoder"][0]["kernel"] != 1).all()


def test_the_update_without_gradient_is_none():
    transformation, params = rmsprop(), {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.warns(UserWarning, match="left as they are: b"):
        updates, _ = transformation.update({"a": jnp.ones(2), "b": None}, transformation.init(params), params)
    assert updates["b"] is None


@ways
def test_all_gradients_none(way):
    with pytest.raises(ValueError, match="no parameter has a gradient: all of a came with None"):
        run(way, {"a": None}, {"a": jnp.ones(2)})


@ways
@pytest.mark.parametrize(
    ("grads", "error", "match"),
    [
        ({"a": {"w": jnp.ones(3)}}, ValueError, r"gradient of 'a/w' has the shape \(3,\), not \(2,\)"),
        ({"a": {"w": jnp.ones(2, int)}}, TypeError, "gradient of 'a/w' has the type int32: float16"),
        ({"a": {"w": jnp.ones(2, complex)}}, TypeError, "gradient of 'a/w' has the type complex64"),
        ({"a": {"v": jnp.ones(2)}}, ValueError, "grads is not the tree that params is"),
        ({"a": [jnp.ones(2)]}, ValueError, "grads is not the tree that params is"),
        ({"a": {"w": [jnp.ones(2)]}}, TypeError, "gradient of 'a/w' is a list, not an array"),
    ],
    ids=["shape", "integers", "complex", "name", "container", "deeper"],
)
def test_refused_gradients(way, grads, error, match):
    with pytest.raises(error, match=match):
        run(way, grads, {"a": {"w": jnp.ones(2)}})


@pytest.mark.parametrize("make", [RMSprop, rmsprop])
@pytest.mark.parametrize(
    ("value", "match"),
    [
        (jnp.ones(2, int), "parameter 'a/0' has the type int32: float16, bfloat16, float32, float64"),
        (jnp.ones(2, complex), "parameter 'a/0' has the type complex64"),
        (numpy.ones(2, ml_dtypes.float8_e5m2), "parameter 'a/0' has the type float8_e5m2"),
        (jax.nn.relu, "parameter 'a/0' is a .*, not an array: give None in its place, as eqx.filter"),
        ("kernel", "parameter 'a/0' is a str, not an array"),
    ],
    ids=["integers", "complex", "float8", "function", "string"],
)
def test_refused_parameters(make, value, match):
    with pytest.raises(TypeError, match=match):
        make().init({"a": [value]})


@pytest.mark.parametrize(
    ("state", "error", "match"),
    [
        (RMSprop(momentum=0.9).init(jnp.ones(2)), ValueError, "state.momentums: the state holds one, but the options"),
        (RMSprop(centered=True).init(jnp.ones(2)), ValueError, "state.average_gradients: the state holds one"),
        (RMSprop().init(jnp.ones(3)), ValueError, r"state.velocities of '' has the shape \(3,\), not \(2,\)"),
        (RMSprop().init([jnp.ones(2)]), ValueError, "state.velocities is not the tree that params is"),
        (
            RMSprop().init(jnp.ones(2))._replace(iterations=jnp.float32(3)),
            TypeError,
            "iterations=.* is no whole number",
        ),
        (optax.EmptyState(), TypeError, "a EmptyState, no RMSpropState"),
        ((), TypeError, "a tuple, no RMSpropState"),
    ],
    ids=["momentum", "centered", "shape", "tree", "counter", "optax", "tuple"],
)
def test_refused_states(state, error, match):
    w = jnp.ones(2)
    with pytest.raises(error, match=match):
        RMSprop().apply_gradients(w, w, state)
    with pytest.raises(error, match=match):
        rmsprop().update(w, state, w)


def test_the_state_of_several_models_is_for_vmap():
    w = jnp.ones((2, 2))
    with pytest.raises(ValueError, match=r"iterations has the shape \(2,\).*vmap"):
        RMSprop().apply_gradients(w, w, jax.vmap(RMSprop().init)(w))


def test_an_update_needs_parameters():
    with pytest.raises(ValueError, match="params=None: pass the parameters"):
        rmsprop().update(jnp.ones(2), rmsprop().init(jnp.ones(2)))


def test_the_state_is_a_documented_named_tuple():
    state = RMSprop(0.5).init(PARAMS)
    assert isinstance(state, RMSpropState)
    assert all(f"{field}:" in RMSpropState.__doc__ for field in state._fields)
    assert (state.iterations.dtype, state.rate) == (jnp.int32, 0.5)
    assert (state.momentums, state.average_gradients, state.averages) == (None, None, None)
    assert rmsprop(0.5).init(PARAMS).rate is None


def test_float64_state_needs_the_mode():
    with pytest.raises(ValueError, match="slot_dtype='float64' needs JAX's 64-bit mode"):
        RMSprop(slot_dtype="float64").init(jnp.ones(2))
