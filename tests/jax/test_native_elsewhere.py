"""Where our kernels cannot be, XLA's are: switched off, exported, on other devices."""

import jax
import jax.numpy as jnp
import processes
import pytest
from arrays import EVERYTHING
from native_runs import CALL, assert_near, assert_same, optimizer, text

from rmsprop._core import switches
from rmsprop._core.items import Item
from rmsprop._jax import engine
from rmsprop._jax.array_options import ArrayOptions

PARAMS = {"kernel": jnp.ones((30, 20)), "bias": jnp.ones(7)}


def steps(one):
    return text(one.apply_gradients, PARAMS, PARAMS, one.init(PARAMS))


def test_switch(monkeypatch):
    assert CALL in steps(optimizer(monkeypatch))
    assert CALL not in steps(optimizer(monkeypatch, native=False))
    monkeypatch.delenv(switches.SWITCH)
    assert CALL in steps(type(optimizer(monkeypatch))())


def test_without_a_compiler(monkeypatch):
    assert CALL not in steps(optimizer(monkeypatch, jit_compile=False))


@pytest.mark.parametrize("platforms", [None, ["cpu", "cuda", "tpu"]], ids=["cpu", "others"])
def test_export_traces_the_rule(platforms, monkeypatch):
    """A process that runs it need not have us."""
    pytest.importorskip("flatbuffers", reason="jax.export writes by flatbuffers, which JAX does not bring")
    one = optimizer(monkeypatch, **EVERYTHING)
    given = PARAMS, PARAMS, one.init(PARAMS)
    flat, tree = jax.tree.flatten(given)

    def step(*leaves):
        return jax.tree.leaves(one.apply_gradients(*jax.tree.unflatten(tree, leaves)))

    exported = jax.export.export(jax.jit(step), platforms=platforms)(*flat)
    assert CALL not in exported.mlir_module()
    found = jax.export.deserialize(exported.serialize()).call(*flat)
    assert_near(found, step(*flat), 1e-6)


def test_a_process_of_two_devices():
    source = """
    import jax, jax.numpy as jnp, numpy
    from jax.sharding import NamedSharding, PartitionSpec
    from rmsprop.jax import RMSprop
    assert jax.device_count() == 2
    one = RMSprop(0.1, global_clipnorm=1.0)
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    params = jax.device_put(jnp.arange(1.0, 9.0), NamedSharding(mesh, PartitionSpec("x")))
    state = one.init(params)
    step = jax.jit(one.apply_gradients)
    assert "rmsprop_step" not in step.lower(params, params, state).as_text()
    new, _ = step(params, params, state)
    assert new.sharding.is_equivalent_to(params.sharding, 1)
    alone = jnp.arange(1.0, 9.0)
    wanted, _ = one.apply_gradients(alone, alone, one.init(alone))
    numpy.testing.assert_allclose(new, wanted, 1e-6)
    print("sharded")
    """
    flags = "--xla_force_host_platform_device_count=2"
    assert processes.run(source, XLA_FLAGS=flags) == "sharded"


@pytest.mark.parametrize("kept", [jnp.ones(7, "float16"), jnp.ones(())], ids=["type", "shape"])
def test_state_of_another_kind(kept):
    """A kernel would read memory that is not there; XLA takes what can be computed with."""
    options = ArrayOptions(momentum=0.5)
    item = Item(PARAMS["bias"], PARAMS["bias"], {"velocity": kept, "momentum": kept}, False)

    def step(native):
        return lambda: engine.step(options, [item], 0.1, jnp.int32(0), native=native)

    assert CALL not in text(step(True))
    assert_same(step(True)(), step(False)())
