"""Signals while XLA runs a native step: their handlers run in Python's own code, never within the step."""

import processes
import pytest

SOURCE = """
import random, signal, time
import jax, jax.numpy as jnp, numpy
from rmsprop.jax import RMSprop

class Stop(Exception):
    pass

def stop(*ignored):
    raise Stop

one, params = RMSprop(0.1, momentum=0.5, **OPTIONS), {"w": jnp.full((40, 30), 10.0), "b": jnp.arange(5.0)}
state, step = one.init(params), jax.jit(one.apply_gradients)
expected = jax.tree.map(numpy.asarray, step(params, params, state))
signal.signal(signal.SIGALRM, stop)
random.seed(0)
stops, done, end = 0, 0, time.monotonic() + 2
while time.monotonic() < end:
    new = None
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
        for _ in range(20):
            new = step(params, params, state)
        jax.block_until_ready(new)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        stops += 1
    if new is not None:
        jax.tree.map(numpy.testing.assert_array_equal, new, expected)
        done += 1
assert stops > 50 and done > 50, (stops, done)
fresh = jax.jit(RMSprop(0.1, momentum=0.5, **OPTIONS).apply_gradients)
one, two = (params, state), (params, state)
for _ in range(10):
    one, two = step(params, *one), fresh(params, *two)
jax.tree.map(numpy.testing.assert_array_equal, one, two)
print("well")
"""


@pytest.mark.parametrize(
    "options",
    [pytest.param("{}", marks=pytest.mark.slow), "{'global_clipnorm': 3.0, 'use_ema': True}"],
    ids=["plain", "everything"],
)
def test_every_interrupt_is_what_the_handler_raises(options):
    """The process does not crash, no other exception comes, and no result is wrong.

    Under `jit`: JAX's own Python code, which an eager step runs more of, makes other errors of some interrupts.
    """
    assert processes.run(SOURCE.replace("**OPTIONS", f"**{options}")) == "well"
