"""Arguments: the same as everywhere, refused alike, and as arrays."""

import copy
import inspect
import json
import pickle

import jax
import jax.numpy as jnp
import numpy
import pytest
from arrays import EVERYTHING
from cases import ERRORS, TABLE

import rmsprop as package
from rmsprop.jax import RMSprop, rmsprop

ARRAYS = {
    "learning_rate": -0.5, "rho": 1.5, "momentum": 2.5, "epsilon": -1.0, "weight_decay": -1.0, "clipnorm": 0.0,
    "clipvalue": -1.0, "global_clipnorm": -1.5, "ema_momentum": 9.0, "initial_velocity": -1.0,
}  # fmt: skip
both = pytest.mark.parametrize("make", [RMSprop, rmsprop])


@both
def test_arguments_have_the_order_and_the_defaults_of_every_front_end(make):
    theirs = dict(inspect.signature(package.RMSprop).parameters)
    ours = dict(inspect.signature(make).parameters)
    assert list(ours)[: len(theirs) - 1] == list(theirs)[:-1]
    assert {name: ours[name].default for name in theirs} == {name: one.default for name, one in theirs.items()}


@both
@pytest.mark.parametrize("case", ERRORS, ids=str)
def test_refused_arguments(case, make):
    with pytest.raises(case.error, match=case.match) as caught:
        make(**case.options)
    assert caught.type is case.error


@both
@pytest.mark.parametrize(("argument", "value"), ARRAYS.items())
def test_an_array_is_refused_as_its_number_is(argument, value, make):
    with pytest.raises(ValueError, match=rf"{argument}={value}"):
        make(**{argument: jnp.float32(value)})


@both
@pytest.mark.parametrize("value", [jnp.ones(2), jnp.bool_(True), jnp.complex64(1)], ids=str)
def test_an_array_of_no_number_is_refused(value, make):
    with pytest.raises(TypeError, match="rho=.* is not an array of a number without axes"):
        make(rho=value)
    with pytest.raises(TypeError, match="ema_overwrite_frequency=.* is not an array of a whole number"):
        make(ema_overwrite_frequency=jnp.float32(3))


@both
def test_traced_numbers_are_on_whatever_they_are(make):
    def init(value):
        return make(momentum=value, weight_decay=value).init(jnp.ones(2))

    state = jax.jit(init)(0.0)
    numpy.testing.assert_array_equal(state.momentums, 0)
    assert make(momentum=0.0).init(jnp.ones(2)).momentums is None


@both
@pytest.mark.parametrize("value", [3, ("rows", 3), b"rows"], ids=str)
def test_a_mesh_axis_has_a_name(value, make):
    with pytest.raises(TypeError, match="axis_name="):
        make(axis_name=value)


@pytest.mark.parametrize("case", [case for case in TABLE if not callable(case.options["learning_rate"])], ids=str)
def test_the_config_goes_through_json_and_back_and_to_numpy(case):
    config = json.loads(json.dumps(RMSprop(**case.options).get_config()))
    assert RMSprop.from_config(config).get_config() == config
    assert package.RMSprop.from_config(config).get_config() == config


def test_the_config_holds_schedules_and_axes():
    rate = package.schedules.CosineDecay(0.1, 100)
    made = RMSprop.from_config(RMSprop(rate, axis_name="rows").get_config())
    assert made.learning_rate == rate
    assert made.get_config()["axis_name"] == ("rows",)
    with pytest.raises(ValueError, match="plain function"):
        RMSprop(lambda step: 0.1).get_config()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(again):
    optimizer, w = RMSprop(**EVERYTHING), {"kernel": jnp.ones(3), "bias": jnp.ones(3)}
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    expected, _ = optimizer.apply_gradients(w, w, optimizer.init(w))
    found, _ = again(optimizer).apply_gradients(w, w, optimizer.init(w))
    for name in w:
        numpy.testing.assert_array_equal(found[name], expected[name])
    assert (found["kernel"] != found["bias"]).all()


def test_the_environment_switch(monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", "2")
    with pytest.raises(ValueError, match="RMSPROP_NATIVE='2' is neither 0 nor 1"):
        RMSprop()
