"""The argument `native`, and the environment variable that it overrides."""

import copy
import json
import pickle

import explanations
import jax
import jax.numpy as jnp
import numpy
import optax
import pytest
from arrays import EVERYTHING, numbers
from native_runs import CALL, assert_near, assert_same, text

from rmsprop.jax import RMSprop, rmsprop

PARAMS = {"kernel": jnp.asarray(numbers((30, 20))), "bias": jnp.asarray(numbers(7, seed=1))}
GRADS = {"kernel": jnp.asarray(numbers((30, 20), seed=2)), "bias": jnp.asarray(numbers(7, seed=3))}
both = pytest.mark.parametrize("make", [RMSprop, rmsprop])


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch):
    monkeypatch.delenv("RMSPROP_NATIVE", raising=False)


def stepped(optimizer, steps=3):
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        params, state = optimizer.apply_gradients(GRADS, params, state)
    return params, state


def lowered(optimizer):
    """What XLA is given to compile for a step of either interface."""
    step = optimizer.update if hasattr(optimizer, "update") else optimizer.apply_gradients
    given = (optimizer.init(PARAMS), PARAMS) if hasattr(optimizer, "update") else (PARAMS, optimizer.init(PARAMS))
    return text(step, GRADS, *given)


@both
@pytest.mark.parametrize("native", ["yes", 1, 0, "0", numpy.True_, jnp.bool_(True)])
def test_it_is_a_truth_value(native, make):
    with pytest.raises(TypeError, match="native=.* is not True, False or None"):
        make(native=native)
    with pytest.raises(TypeError, match="native=.* is not True, False or None"):
        RMSprop.from_config({"native": native})


@both
def test_it_is_given_by_its_name(make):
    with pytest.raises(TypeError, match="positional"):
        make(*RMSprop().get_config().values(), None)


@pytest.mark.parametrize(
    ("variable", "native", "reason"),
    [
        (None, None, ""), (None, True, ""), (None, False, "native=False"),
        ("1", None, ""), ("1", True, ""), ("1", False, "native=False"),
        ("0", None, "RMSPROP_NATIVE=0"), ("0", True, ""), ("0", False, "native=False"),
    ],
)  # fmt: skip
def test_what_decides(variable, native, reason, monkeypatch):
    if variable is not None:
        monkeypatch.setenv("RMSPROP_NATIVE", variable)
    optimizer = RMSprop(native=native, momentum=0.5)
    for one in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert (CALL in lowered(one)) == (not reason)
        assert {found.reason for found in one.explain(PARAMS).variables.values()} == {reason}
    bits = stepped(optimizer)
    monkeypatch.setenv("RMSPROP_NATIVE", "1" if not reason else "0")
    assert_same(bits, stepped(RMSprop(momentum=0.5)))


@pytest.mark.parametrize(
    "case",
    [
        explanations.Case({"native": False}, {}, ("traced", "xla", "native=False")),
        explanations.Case({"native": True}, explanations.OFF, explanations.NATIVE),
        explanations.Case({"native": True, "jit_compile": False}, {}, ("traced", "", "jit_compile=False")),
    ],
    ids=str,
)
def test_what_is_explained(case, monkeypatch):
    params = {name: jnp.asarray(array) for name, array in explanations.arrays().items()}
    explanations.check("jax", case, monkeypatch, lambda **arguments: RMSprop(**arguments).explain(params))


@pytest.mark.parametrize("native", [None, True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_the_numbers_are_those_of_the_traced_step(compiled, native):
    traced = stepped(RMSprop(**EVERYTHING, native=False))
    assert_near(stepped(RMSprop(**EVERYTHING, native=native, jit_compile=compiled)), traced, 1e-6)


def test_no_step_by_our_kernels_without_a_compiler():
    assert CALL not in lowered(RMSprop(native=True, jit_compile=False))
    assert CALL not in lowered(rmsprop(native=True, jit_compile=False))


@pytest.mark.parametrize("native", [True, False])
def test_the_config(native):
    assert "native" not in RMSprop(0.5).get_config()
    config = json.loads(json.dumps(RMSprop(0.5, native=native).get_config()))
    assert config == RMSprop(0.5).get_config() | {"native": native}
    assert RMSprop.from_config(config).get_config() == config
    assert "native" not in RMSprop.from_config(config | {"native": None}).get_config()
    assert repr(RMSprop.from_config(config)) == f"RMSprop(learning_rate=0.5, native={native})"


def test_it_is_not_assigned():
    with pytest.raises(AttributeError, match="native=True cannot be assigned: give native to the constructor"):
        RMSprop().native = True


@pytest.mark.parametrize("native", [True, False])
def test_optimizers_that_were_pickled_before_there_was_the_argument(native):
    """Then `_native` was what the environment said."""
    entries = pickle.loads(pickle.dumps(RMSprop(0.5).__getstate__()))
    del entries["_off"]
    optimizer = object.__new__(RMSprop)
    optimizer.__setstate__(entries | {"_native": native})
    assert optimizer.get_config() == RMSprop(0.5).get_config()
    reasons = {found.reason for found in optimizer.explain(PARAMS).variables.values()}
    assert (reasons == {"RMSPROP_NATIVE=0"}) == (not native)


TRANSFORMATIONS = {
    "alone": lambda **options: rmsprop(0.125, **options),
    "chained": lambda **options: optax.chain(optax.zero_nans(), rmsprop(0.125, **options), optax.scale(0.5)),
    "injected": lambda **options: optax.inject_hyperparams(rmsprop)(0.125, **options),
    "injected as it is": lambda **options: optax.inject_hyperparams(rmsprop, static_args=("native",))(0.125, **options),
}


def updated(transformation, steps=3):
    params, state, update = PARAMS, transformation.init(PARAMS), jax.jit(transformation.update)
    for _ in range(steps):
        updates, state = update(GRADS, state, params)
        params = optax.apply_updates(params, updates)
    assert update._cache_size() == 1
    return params, state


@pytest.mark.parametrize("make", TRANSFORMATIONS.values(), ids=TRANSFORMATIONS)
@pytest.mark.parametrize("options", [{}, EVERYTHING, {"global_clipnorm": 1.0}], ids=["plain", "everything", "clip"])
@pytest.mark.matrix(4)
def test_a_transformation_by_our_kernels(options, make, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    native = make(**options, native=True)
    assert CALL in lowered(native)
    assert_near(updated(native)[0], updated(make(**options))[0], 1e-6)


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("make", TRANSFORMATIONS.values(), ids=TRANSFORMATIONS)
@pytest.mark.matrix(4)
def test_a_transformation_is_traced_unless_our_kernels_are_wanted(make, native):
    given = make(momentum=0.5, native=native)
    assert CALL not in lowered(given)
    assert_same(updated(given)[0], updated(make(momentum=0.5))[0])


@pytest.mark.slow
def test_a_transformation_under_vmap_and_grad():
    """What our kernels cannot do is traced."""
    many = jax.tree.map(lambda one: jnp.stack([one, 2 * one]), PARAMS)

    def weight(native):
        def step(params):
            transformation = rmsprop(0.125, momentum=0.5, native=native)
            updates, _ = transformation.update(params, transformation.init(params), params)
            return sum((one**2).sum() for one in jax.tree.leaves(updates))

        return step

    for function in (jax.vmap, lambda step: jax.vmap(jax.grad(step))):
        assert_near(function(weight(True))(many), function(weight(False))(many), 1e-6)
