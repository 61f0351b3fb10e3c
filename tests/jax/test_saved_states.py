"""States that were saved when their attributes had other names, or fewer of them, and what renames them."""

import pickle
from collections import namedtuple
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from saved_states import EVERYTHING, GRADS, PARAMS, message, unpickled

from rmsprop.jax import RMSprop, RMSpropState, renamed_state

OLD = ("iterations", "velocity", "momentum", "average_gradient", "average", "learning_rate")
OPTIONS = {"plain": {}, "everything": EVERYTHING}
kinds = pytest.mark.parametrize("kind", OPTIONS)


def stepped(kind):
    """An optimizer and the state after the step that the saved ones are of."""
    optimizer = RMSprop(0.125, **OPTIONS[kind])
    return optimizer, optimizer.apply_gradients(GRADS, PARAMS, optimizer.init(PARAMS))[1]


def assert_goes_on(kind, state):
    """Compare a saved state with that of today's code, and the steps after both."""
    optimizer, expected = stepped(kind)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for _ in range(2):
        jax.tree.map(lambda one, other: numpy.testing.assert_allclose(one, other, rtol=1e-6), state, expected)
        _, state = optimizer.apply_gradients(GRADS, PARAMS, state)
        _, expected = optimizer.apply_gradients(GRADS, PARAMS, expected)


@kinds
def test_early_pickles_load(kind):
    state = unpickled(kind)
    assert isinstance(state, RMSpropState)
    assert float(state.rate) == 0.125
    assert_goes_on(kind, state)


@kinds
def test_early_messages_of_flax(kind):
    restored = serialization.msgpack_restore(message(kind))
    assert set(restored) == set(OLD)
    assert_goes_on(kind, renamed_state(restored))


@kinds
def test_early_checkpoints_of_orbax(kind, tmp_path):
    _, state = stepped(kind)
    early = namedtuple("RMSpropState", OLD)(*state)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", early)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state")
    assert_goes_on(kind, renamed_state(restored))


@kinds
@pytest.mark.parametrize("names", [OLD, RMSpropState._fields])
def test_mappings_and_objects(names, kind):
    _, state = stepped(kind)
    for saved in (
        dict(zip(names, state, strict=True)),
        namedtuple("Saved", names)(*state),
        SimpleNamespace(**dict(zip(names, state, strict=True)), other=1),
    ):
        renamed = renamed_state(saved)
        assert isinstance(renamed, RMSpropState)
        assert all(one is other for one, other in zip(renamed, state, strict=True))
    assert renamed_state(state) is state


def test_trees_that_flax_made_dictionaries_of():
    optimizer, params = RMSprop(0.125, momentum=0.5), [jnp.ones(2), (jnp.ones(3),)]
    _, state = optimizer.apply_gradients(params, params, optimizer.init(params))
    restored = serialization.msgpack_restore(serialization.to_bytes(namedtuple("Saved", OLD)(*state)))
    entries = serialization.to_state_dict(renamed_state(restored))
    again = serialization.from_state_dict(optimizer.init(params), entries)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    jax.tree.map(numpy.testing.assert_array_equal, again, state)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_what_an_early_state_lacks_is_none(count):
    """A state that was written before there was an attribute has fewer entries."""
    _, state = stepped("plain")
    kept = jax.device_get(tuple(state)[:count])
    shorter = RMSpropState(*kept)
    again = pickle.loads(pickle.dumps(shorter))
    by_name = renamed_state(dict(zip(OLD, kept, strict=False)))
    assert shorter[count:] == again[count:] == by_name[count:] == (None,) * (6 - count)


@pytest.mark.parametrize(
    ("saved", "error", "words"),
    [
        ({"iterations": 1, "velocity": 1.0, "mu": 2.0}, ValueError, "saved holds 'mu', which no state has"),
        ({"iterations": 1, "velocity": 1.0, "velocities": 1.0}, ValueError, "saved holds 'velocities' twice"),
        ({"velocity": 1.0}, ValueError, "saved holds no iterations, which every state has"),
        ({}, ValueError, "no iterations and no velocities"),
        ((1, 2.0), TypeError, "saved is a tuple, neither a mapping nor an object"),
        (None, TypeError, "saved is a NoneType"),
    ],
)
def test_what_is_no_state(saved, error, words):
    with pytest.raises(error, match=words):
        renamed_state(saved)
