"""Which parameters decay: masks, as optax has them, and exclusion by name, as Keras has it."""

import jax
import jax.numpy as jnp
import numpy
import optax
import pytest

from rmsprop.jax import RMSprop, rmsprop

OPTIONS = {"learning_rate": 0.5, "weight_decay": 0.5}
PARAMS = {"dense": {"kernel": jnp.full(2, 2.0), "bias": jnp.full(2, 2.0)}, "scale": jnp.full(2, 2.0)}
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def decayed(params):
    """The names of those that have decayed; all gradients were 0."""
    found = jax.tree_util.tree_flatten_with_path(params)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, value in found if (value == 1.5).all()]
    assert all(((value == 1.5) | (value == 2)).all() for _, value in found)
    return names


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, ["dense/bias", "dense/kernel", "scale"]),
        (False, []),
        ({"dense": True, "scale": False}, ["dense/bias", "dense/kernel"]),
        ({"dense": {"kernel": True, "bias": False}, "scale": numpy.True_}, ["dense/kernel", "scale"]),
        (lambda params: jax.tree.map(lambda one: one.ndim > 1, params), []),
        # Functions that are trees themselves, without anything in them or with an argument.
        (jax.tree_util.Partial(lambda params: {"dense": True, "scale": False}), ["dense/bias", "dense/kernel"]),
        (jax.tree_util.Partial(lambda scale, params: {"dense": False, "scale": scale}, True), ["scale"]),
    ],
)
def test_masks(mask, expected):
    transformation = rmsprop(**OPTIONS, mask=mask)
    updates, _ = transformation.update(ZEROS, transformation.init(PARAMS), PARAMS)
    assert decayed(optax.apply_updates(PARAMS, updates)) == expected


@pytest.mark.parametrize(
    ("mask", "error", "match"),
    [
        ({"dense": True}, ValueError, "is not the tree that params is, nor the upper part"),
        ({"dense": 1, "scale": True}, TypeError, "mask holds 1 for parameter 'dense/bias': True or False"),
    ],
)
def test_refused_masks(mask, error, match):
    transformation = rmsprop(**OPTIONS, mask=mask)
    with pytest.raises(error, match=match):
        transformation.update(ZEROS, transformation.init(PARAMS), PARAMS)


def excluded(**arguments):
    optimizer = RMSprop(**OPTIONS)
    optimizer.exclude_from_weight_decay(var_names=["scale"])
    optimizer.exclude_from_weight_decay(**arguments)
    return optimizer


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ["dense/bias", "dense/kernel", "scale"]),
        ({"var_names": ["bias$"]}, ["dense/kernel", "scale"]),
        ({"var_names": ["^dense/"]}, ["scale"]),
        ({"var_list": [PARAMS["scale"]], "var_names": ["bias"]}, ["dense/kernel"]),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_exclusion(arguments, expected, compiled):
    optimizer = excluded(**arguments)
    state = optimizer.init(PARAMS)
    step = jax.jit(optimizer.apply_gradients) if compiled else optimizer.apply_gradients
    assert decayed(step(ZEROS, PARAMS, state)[0]) == expected


def test_an_array_at_two_places_is_excluded_at_both():
    shared = jnp.full(2, 2.0)
    params = {"encoder": shared, "decoder": shared, "scale": jnp.full(2, 2.0)}
    optimizer = excluded(var_list=[shared])
    new, _ = optimizer.apply_gradients(jax.tree.map(jnp.zeros_like, params), params, optimizer.init(params))
    assert decayed(new) == ["scale"]


def test_exclusion_comes_first():
    for use in (
        lambda optimizer: optimizer.init(PARAMS),
        lambda optimizer: optimizer.apply_gradients(ZEROS, PARAMS, RMSprop().init(PARAMS)),
    ):
        optimizer = RMSprop()
        use(optimizer)
        with pytest.raises(ValueError, match="comes before init"):
            optimizer.exclude_from_weight_decay(var_names=["bias"])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"var_list": jnp.ones(2)}, TypeError, r"one array: pass a list of arrays, \[w\]"),
        ({"var_names": "bias"}, TypeError, r"one string: pass a list, \['bias'\]"),
        ({"var_names": ["("]}, ValueError, "holds no regular expression"),
    ],
)
def test_refused_exclusions(arguments, error, match):
    with pytest.raises(error, match=match):
        RMSprop().exclude_from_weight_decay(**arguments)


def test_arrays_that_are_not_there():
    with pytest.raises(ValueError, match=r"var_list\[0\], of shape \(2,\), is not among the parameters"):
        excluded(var_list=[jnp.ones(2)]).init(PARAMS)
    with pytest.raises(ValueError, match="not under jit"):
        jax.jit(excluded(var_list=[PARAMS["scale"]]).init)(PARAMS)
    with pytest.raises(ValueError, match=r"call init\(params\) with them"):
        excluded(var_list=[PARAMS["scale"]]).apply_gradients(ZEROS, PARAMS, RMSprop().init(PARAMS))


def test_no_decay_is_none_at_all():
    """An infinite weight stays infinite; multiplied by 0 it would be NaN."""
    w = jnp.array([jnp.inf, 1.0])
    for decay in (None, 0.0):
        new, _ = RMSprop(weight_decay=decay).apply_gradients(0 * w, w, RMSprop().init(w))
        assert jnp.isnan(new[0])  # as its gradient is
        zero = jnp.zeros(2)
        new, _ = RMSprop(weight_decay=decay).apply_gradients(zero, w, RMSprop().init(w))
        numpy.testing.assert_array_equal(new, w)
        updates, _ = rmsprop(weight_decay=decay).update(zero, rmsprop().init(w), w)
        numpy.testing.assert_array_equal(updates, zero)
