"""A compiled step looks at what it is handed before it writes: a call unlike its plan is refused.

The plan and the call are taken from what JAX lowers a step to, where a damaged file of its compilation cache, or
another tool, might change either.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy
import pytest
from jax.ffi import ffi_call

from rmsprop._jax.plan import KEY, with_key
from rmsprop.jax import RMSprop

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones((), jnp.bfloat16)}
GRADS = {"w": jnp.ones((2, 3)), "b": jnp.ones((), jnp.bfloat16)}


@pytest.fixture
def call(monkeypatch):
    """A native step as what XLA calls: its plan, its operands, and how many of them at the end are overwritten."""
    monkeypatch.setenv("RMSPROP_NATIVE", "1")
    optimizer = RMSprop(0.125, momentum=0.5)
    state = optimizer.init(PARAMS)
    step = jax.jit(optimizer.apply_gradients)
    text = step.lower(GRADS, PARAMS, state).as_text()
    (plan,) = re.findall(r'rmsprop_step.*plan = "(.*?[^\\])"', text)
    jax.block_until_ready(step(GRADS, PARAMS, state))
    kept = [PARAMS, state.velocities, state.momentums]
    order = ["b", "w"]  # as JAX sorts them, each the only one of its type
    operands = [state.rate, *(GRADS[name] for name in order), *(tree[name] for tree in kept for name in order)]
    return plan.replace("\\22", '"'), operands, len(kept) * len(order)


def run(plan, operands, kept):
    first = len(operands) - kept
    results = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in operands[first:]]
    aliases = {first + place: place for place in range(kept)}
    return jax.block_until_ready(ffi_call("rmsprop_step", results, input_output_aliases=aliases)(*operands, plan=plan))


def test_the_call_as_it_is(call):
    optimizer = RMSprop(0.125, momentum=0.5)
    params, state = optimizer.apply_gradients(GRADS, PARAMS, optimizer.init(PARAMS))
    new = run(*call)
    expected = [tree[name] for tree in (params, state.velocities, state.momentums) for name in ("b", "w")]
    for one, other in zip(new, expected, strict=True):
        numpy.testing.assert_array_equal(one, other)


CHANGES = {
    "fewer": lambda one: one.reshape(-1)[:-1],
    "more": lambda one: jnp.concatenate([one.reshape(-1), one.reshape(-1)]),
    "none": lambda one: one.reshape(-1)[:0],
    "wider": lambda one: one.astype(jnp.complex64),
    "of the same width": lambda one: one.view(f"uint{8 * one.dtype.itemsize}"),
    "narrower": lambda one: one.astype(jnp.int8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", range(9))
@pytest.mark.matrix
def test_a_buffer_that_is_not_what_the_plan_says(call, place, change):
    plan, operands, kept = call
    operands[place] = CHANGES[change](operands[place])
    words = "more or fewer numbers" if change in ("fewer", "more", "none") else "numbers of another type"
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=f"argument {place} of a step holds {words}"):
        run(plan, operands, kept)
    numpy.testing.assert_array_equal(PARAMS["w"], numpy.arange(6.0).reshape(2, 3))


def test_a_shape_of_as_many_numbers_is_the_same_memory(call):
    plan, operands, kept = call
    expected = run(plan, operands, kept)
    flat = run(plan, [one.reshape(-1) if one.size > 1 else one.reshape(1, 1) for one in operands], kept)
    for one, other in zip(flat, expected, strict=True):
        numpy.testing.assert_array_equal(one.reshape(other.shape), other)


def test_a_plan_that_says_more_than_there_is(call):
    plan, operands, kept = call
    fields = json.loads(plan[KEY:])
    (tensor,) = [tensor for tensor in fields[3] if tensor[0] == 6]
    tensor[0] = 6_000_000
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match="more or fewer numbers"):
        run(with_key(json.dumps(fields)), operands, kept)
