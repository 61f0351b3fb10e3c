"""Mistakes of somebody who comes from optax or from another front end: the error names them and the remedy."""

import jax
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
        ({"threads": 3}, "threads=3: the arguments are learning_rate, .*slot_dtype, .*axis_name$"),
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


STATE = RMSprop(momentum=0.5).init(W)
APPLY = r"Write params, state = optimizer\.apply_gradients\(grads, params, state\), in the order of minimize; early "

#: Arguments of `apply_gradients` -> what is said of them.
ORDERS = {
    "earlier": ((W, STATE, W), rf"params is an RMSpropState, state is a \w+\. {APPLY}.*\(grads, state, params\)"),
    "all swapped": ((STATE, W, W), rf"grads is an RMSpropState, state is a \w+\. {APPLY}"),
    "no parameters": ((W, STATE, STATE), rf"^apply_gradients: params is an RMSpropState\. {APPLY}"),
    "no gradients": ((STATE, W, STATE), rf"^apply_gradients: grads is an RMSpropState\. {APPLY}"),
    "states alone": ((STATE, STATE, STATE), rf"grads is an RMSpropState, params is an RMSpropState\. {APPLY}"),
    "earlier, None": ((None, STATE, None), rf"params is an RMSpropState, state is a NoneType\. {APPLY}"),
    "state None": ((W, W, None), r"state is a NoneType, no RMSpropState: pass what init\(params\) returned"),
    "params None": ((W, None, STATE), r"^params=None: pass the parameters, params, state = .*\(grads, params, state\)"),
    "grads None": ((None, W, STATE), "no parameter has a gradient"),
}


@pytest.mark.parametrize("way", ["eager", "jit", "vmap"])
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_a_steps_arguments(order, way):
    arguments, match = ORDERS[order]
    arguments = jax.tree.map(lambda one: jnp.stack([one, one]) if way == "vmap" else jnp.copy(one), arguments)
    optimizer = RMSprop(momentum=0.5)
    step = {
        "eager": optimizer.apply_gradients,
        "jit": jax.jit(optimizer.apply_gradients, donate_argnums=(1, 2)),
        "vmap": jax.vmap(optimizer.apply_gradients),
    }[way]
    with pytest.raises((TypeError, ValueError), match=match):
        step(*arguments)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(arguments))
    # Nothing of the refused call is left.
    optimizer.learning_rate = 0.25
    optimizer.exclude_from_weight_decay(var_names=[])


def test_arguments_by_name_have_any_order():
    optimizer = RMSprop(momentum=0.5, use_ema=True)
    params, state = optimizer.apply_gradients(W, W, optimizer.init(W))
    found, again = jax.jit(optimizer.apply_gradients)(state=optimizer.init(W), params=W, grads=W)
    assert (found == params).all()
    assert again.iterations == 1
    averages = optimizer.finalize_variable_values(state=state, params=params)
    assert (averages == optimizer.finalize_variable_values(params, state)).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_order_of_finalize_variable_values(compiled):
    optimizer = RMSprop(momentum=0.5)
    finalize = jax.jit(optimizer.finalize_variable_values) if compiled else optimizer.finalize_variable_values
    call = r"Write params = optimizer\.finalize_variable_values\(params, state\); early .* \(state, params\)"
    with pytest.raises(TypeError, match=rf"^finalize_variable_values: params is an RMSpropState, state is .*\. {call}"):
        finalize(STATE, W)
    with pytest.raises(TypeError, match=rf"^finalize_variable_values: params is an RMSpropState\. {call}"):
        finalize(STATE, STATE)
    with pytest.raises(TypeError, match=r"what init\(params\) returned"):
        finalize(W, W)
    with pytest.raises(ValueError, match="params=None: pass the parameters"):
        finalize(None, STATE)


def test_the_order_of_other_methods():
    """That of `save` is looked at in `test_files.py`."""
    optimizer, transformation = RMSprop(momentum=0.5), rmsprop()
    state = transformation.init(W)
    for call, match in (
        (lambda: optimizer.minimize(jnp.sum, STATE, W), r"^minimize: params is .*\.minimize\(loss, params, state\)"),
        (lambda: transformation.update(W, W, state), r"^update: params is .*\.update\(grads, state, params\)"),
        (lambda: transformation.update(state, W, W), r"^update: grads is .*\.update\(grads, state, params\)"),
    ):
        with pytest.raises(TypeError, match=match):
            call()
