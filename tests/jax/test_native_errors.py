"""What goes wrong in a custom call is an error of JAX's with a text, never a crash."""

import ctypes
import json

import jax
import jax.numpy as jnp
import pytest
from jax.ffi import ffi_call

from rmsprop._jax import available, handler, xla_ffi
from rmsprop._jax import plan as _plan

GOOD = _plan.CallPlan((), (), ("variable",), ())
ON = "variable", "velocity", "learning_rate", "rho", "rho_c", "epsilon"
ARRAY = jnp.ones(3)


def call(text, *arguments):
    jax.devices()
    assert available.problem() == ""
    out = [jax.ShapeDtypeStruct((3,), "float32")]
    attributes = {handler.ATTRIBUTE: text} if text is not None else {}
    return jax.block_until_ready(ffi_call(handler.NAME, out)(*arguments, **attributes))


def test_a_plan_of_another_version():
    *plan, version = json.loads(GOOD.text()[_plan.KEY :])
    with pytest.raises(jax.errors.JaxRuntimeError, match=f"another version of rmsprop: {version + 1} is not {version}"):
        call(_plan.with_key(json.dumps([*plan, version + 1])))


@pytest.mark.parametrize("arguments", [(), (ARRAY, ARRAY, ARRAY)], ids=["too few", "too many"])
def test_other_arguments(arguments):
    plan = _plan.CallPlan((), (), ("variable",), ((3, ("float32",) * 4, ON),))
    with pytest.raises(jax.errors.JaxRuntimeError, match="other arguments than it was traced for"):
        call(plan.text(), *arguments)


def test_results_that_are_elsewhere():
    plan = _plan.CallPlan((), (), ("variable",), ((3, ("float32",) * 4, ON),))
    with pytest.raises(jax.errors.JaxRuntimeError, match="did not put the results where"):
        call(plan.text(), ARRAY, ARRAY)


def test_no_plan():
    with pytest.raises(jax.errors.JaxRuntimeError, match="without a plan"):
        call(None)


def test_structures_are_of_the_sizes_that_xla_states():
    """Each begins with its size, which ends with the last of its fields and not with padding."""
    sizes = {"Frame": 168, "Buffers": 40, "Attributes": 48, "NewError": 28, "Version": 24, "Metadata": 36}
    last = {name: list(getattr(xla_ffi, name)._fields_)[-1][0] for name in sizes}
    for name, size in sizes.items():
        field = getattr(getattr(xla_ffi, name), last[name])
        assert field.offset + field.size == size
    assert ctypes.sizeof(xla_ffi.Extension) == 32
