"""What an optimizer is told that it cannot take: attributes that nobody reads, names that nothing has."""

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest

from rmsprop.jax import RMSprop

PARAMS = {"dense": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lr", "use learning_rate"),
        ("alpha", "use rho"),
        ("decay", "use rho"),
        ("momentum", "constructor"),
        ("rho", "constructor"),
        ("clipnorm", "constructor"),
        ("use_ema", "constructor"),
        ("name", "no attribute 'name'"),
        ("iterations", "no attribute 'iterations'"),
        ("anything", "no attribute 'anything'"),
    ],
)
def test_attributes_that_are_no_attributes(name, words):
    optimizer = RMSprop(0.5)
    for one in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        with pytest.raises(AttributeError, match=words):
            setattr(one, name, 0.125)
        one.learning_rate = 0.25
        assert one.init(jnp.ones(2)).rate == 0.25
        assert one.get_config() == RMSprop(0.25).get_config()


@pytest.mark.parametrize("way", ["init", "eager", "jit"])
def test_patterns_without_a_match(way):
    """One warning for each, where the names are known first, and none at later steps."""
    optimizer = RMSprop(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["nope", "bias", "^kernel$"])
    state = RMSprop(0.5, weight_decay=0.5).init(PARAMS)
    step = jax.jit(optimizer.apply_gradients) if way == "jit" else optimizer.apply_gradients
    with pytest.warns(UserWarning, match="var_names holds") as caught:
        optimizer.init(PARAMS) if way == "init" else step(PARAMS, PARAMS, state)
    assert [one.filename for one in caught if way != "jit"] in ([__file__, __file__], [])
    texts = [str(one.message) for one in caught]
    assert len(texts) == 2
    assert "'nope', which is found in no variable's name: 'dense/bias', 'dense/kernel'" in texts[0]
    assert "'^kernel$'" in texts[1]
    step(PARAMS, PARAMS, state)  # a warning is an error here


def test_patterns_that_match():
    optimizer = RMSprop(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias", "dense/kernel"])
    optimizer.apply_gradients(PARAMS, PARAMS, optimizer.init(PARAMS))


def test_a_pickle_without_an_entry():
    """As an earlier version writes it, which did not know the entry."""
    optimizer = RMSprop(0.5, momentum=0.25)
    entries = optimizer.__reduce_ex__(2)[2]
    for name in entries:
        if name != "_options":
            again = RMSprop.__new__(RMSprop)
            again.__setstate__({key: value for key, value in entries.items() if key != name})
            assert again.get_config() == optimizer.get_config()
            again.apply_gradients(PARAMS, PARAMS, again.init(PARAMS))
