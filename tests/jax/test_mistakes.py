"""Mistakes of somebody who comes from optax or from another front end: the error names them and the remedy."""

import jax.numpy as jnp
import optax
import pytest

from rmsprop.jax import RMSprop, rmsprop

W = jnp.ones(3)


@pytest.mark.parametrize("make", [RMSprop, rmsprop, optax.inject_hyperparams(rmsprop)])
@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"decay": 0.9}, "decay=0.9: use rho.*optax.*InverseTimeDecay.*weight_decay"),
        ({"ema_decay": 0.9}, "ema_decay=0.9: use ema_momentum"),
        ({"momentun": 0.9}, r"momentun=0.9: did you mean momentum\? the arguments are .*axis_name"),
        ({"kwargs": {"rho": 0.5}}, r"kwargs=\{'rho': 0\.5\}: the arguments are"),
        ({"native": True}, "native=True: the arguments are learning_rate, .*slot_dtype, .*axis_name$"),
    ],
    ids=str,
)
def test_words(make, words, match):
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        make(**words).init(W)  # where `inject_hyperparams` calls what it was given


def test_inject_hyperparams_hands_on_what_is_right():
    state = optax.inject_hyperparams(rmsprop)(learning_rate=0.5, momentum=0.25).init(W)
    assert (float(state.hyperparams["learning_rate"]), float(state.hyperparams["momentum"])) == (0.5, 0.25)


@pytest.mark.parametrize(
    "make", [lambda: optax.chain(optax.zero_nans(), RMSprop()), lambda: optax.inject_hyperparams(RMSprop)()]
)
def test_the_class_in_a_chain_names_the_function(make):
    optimizer = make()
    state = optimizer.init(W)
    with pytest.raises(AttributeError, match=r"'update': it is no transformation of optax, .*rmsprop\.jax\.rmsprop"):
        optimizer.update(W, state, W)


def test_any_other_attribute_is_as_always():
    with pytest.raises(AttributeError, match=r"rmsprop\.jax\.RMSprop has no attribute 'variables'$"):
        _ = RMSprop().variables
    assert not hasattr(RMSprop(), "update")
    for name in ("aply_gradients", "update"):  # by which Python finds what was meant
        with pytest.raises(AttributeError) as refused:
            getattr(optimizer := RMSprop(), name)
        assert (refused.value.name, refused.value.obj) == (name, optimizer)


def test_an_error_inside_a_property_is_its_own(monkeypatch):
    monkeypatch.setattr(RMSprop, "learning_rate", property(lambda self: W.no_such_thing))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = RMSprop().learning_rate


def test_the_order_of_a_steps_arguments():
    optimizer, transformation = RMSprop(), rmsprop()
    state = optimizer.init(W)
    for call in (
        lambda: optimizer.apply_gradients(W, W, state),
        lambda: optimizer.apply_gradients(state, W, W),
        lambda: transformation.update(W, W, transformation.init(W)),
    ):
        with pytest.raises(TypeError, match=r"ArrayImpl, no RMSpropState.* in the order \(grads, state, params\)"):
            call()
    with pytest.raises(TypeError, match=r"what init\(params\) returned$"):
        optimizer.finalize_variable_values(W, state)
