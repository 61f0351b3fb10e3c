"""`explain()` of the JAX front end says of every step what JAX is given to compile."""

import re

import explanations
import jax
import jax.numpy as jnp
import pytest
from arrays import EVERYTHING
from jax.sharding import PartitionSpec
from native_runs import CALL, text

from rmsprop._core.items import Item
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.plan import CallPlan
from rmsprop.jax import RMSprop


def params():
    return {name: jnp.asarray(array) for name, array in explanations.arrays().items()}


@pytest.mark.parametrize("case", explanations.TABLE["jax"], ids=str)
def test_switches(case, monkeypatch):
    explanations.check("jax", case, monkeypatch, lambda **arguments: RMSprop(**arguments).explain(params()))


def is_native(explanation):
    (way,) = {one.way for one in explanation.variables.values()}
    return way == "native"


@pytest.mark.parametrize("native", ["1", "0"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"jit_compile": False}, {"clipnorm": 1.0}, {"clipnorm": 1.0, "axis_name": ()}, {"axis_name": ()},
        {"slot_dtype": "bfloat16", "use_ema": True},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.matrix(12)
def test_what_is_lowered(options, dtype, native, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", native)
    optimizer, given = RMSprop(**options), {"w": jnp.ones((3, 2), dtype), "v": jnp.ones(())}
    lowered = text(optimizer.apply_gradients, given, given, optimizer.init(given))
    assert is_native(optimizer.explain(given)) == (CALL in lowered)


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"clipnorm": 1.0, "axis_name": "x"}, {"clipnorm": 1.0, "axis_name": ()}], ids=str
)
def test_within_a_shard_map(options, checks):
    optimizer, given, told = RMSprop(**options), {"w": jnp.ones((3, 2))}, []
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    state, rows = optimizer.init(given), PartitionSpec("x")
    specs = jax.tree.map(lambda one: rows if one.ndim else PartitionSpec(), (given, given, state))

    def step(grads, params, state):
        told.append(optimizer.explain(params))
        return optimizer.apply_gradients(grads, params, state)

    mapped = jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=(specs[1], specs[2]), check_vma=checks)
    assert CALL not in text(mapped, given, given, state)
    assert explanations.ways(told[0]) == {"w": ("traced", "xla", "within a shard_map")}


@pytest.mark.parametrize(
    ("gradient", "kept", "reason"),
    [
        ("float32", "float32", ""),
        ("int8", "float32", "the gradient of w has the type int8"),
        ("float32", "float16", "the velocity of w has another type or shape than the options say"),
    ],
)
def test_types_of_gradients_and_state(gradient, kept, reason):
    """What is checked before a step is not known to `explain`, and is to the predicate that both ask."""
    item = Item(jnp.ones(3), jnp.ones(3, gradient), {"velocity": jnp.ones(3, kept)}, False, name="w")
    options = ArrayOptions()
    assert engine.against(options, [item], jax.devices()) == reason
    lowered = text(lambda: engine.step(options, [item], 0.1, jnp.int32(0), native=True))
    assert (CALL in lowered) == (not reason)


@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, EVERYTHING], ids=["plain", "clipnorm", "everything"])
@pytest.mark.parametrize("excluded", [None, ["w"]])
@pytest.mark.matrix(4)
def test_launches_are_those_of_a_step(options, excluded, monkeypatch):
    optimizer = RMSprop(**options)
    optimizer.exclude_from_weight_decay(var_names=excluded)
    given = {"w": jnp.ones((3, 2)), "v": jnp.ones((), "bfloat16"), "many": [jnp.ones(2)] * 300}
    expected = optimizer.explain(given).launches
    state = optimizer.init(given)
    text = jax.jit(optimizer.apply_gradients).lower(given, given, state).as_text()
    calls = re.findall(r'rmsprop_step.*plan = "(.*?[^\\])"', text)
    plans = [CallPlan.read(call.replace("\\22", '"')).plan() for call in calls]
    assert sum(len(plan.norms) + len(plan.steps) for plan in plans) == expected > 0


def test_devices():
    optimizer, given = RMSprop(), params()
    assert optimizer.explain(given) == optimizer.explain(given, devices=jax.devices())
    twice = optimizer.explain(given, devices=jax.devices() * 2)
    assert explanations.ways(twice)["kernel"] == ("traced", "xla", "2 cpu devices: one CPU is needed")
    with pytest.raises(ValueError, match="holds no device"):
        optimizer.explain(given, devices=[])


def test_parameters_may_be_described_or_traced():
    optimizer, given, told = RMSprop(**EVERYTHING), params(), []
    described = jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape, one.dtype), given)
    jax.jit(lambda given: told.append(optimizer.explain(given)))(given)
    assert optimizer.explain(given) == optimizer.explain(described) == told[0]
    assert optimizer.explain(jnp.ones(3)).variables.keys() == {"0"}


def test_what_is_refused():
    with pytest.raises(TypeError, match="parameter 'w' has the type int32"):
        RMSprop().explain({"w": jax.ShapeDtypeStruct((3,), "int32")})
    with pytest.raises(ValueError, match="holds no parameter"):
        RMSprop().explain({"w": None})
    with pytest.raises(ValueError, match="needs JAX's 64-bit mode"):
        RMSprop(slot_dtype="float64").explain(params())
