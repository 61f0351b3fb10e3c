"""What outlives a step: compiled steps in a cache on disk, and steps that are under way when a process ends."""

import processes
import pytest

STEP = """
import jax, jax.numpy as jnp
from rmsprop.jax import RMSprop
one, params = RMSprop(0.1, momentum=0.5, global_clipnorm=30.0), jnp.full((40, 30), 10.0)
state = one.init(params)
step = jax.jit(one.apply_gradients)
"""


def test_a_cached_step_runs_in_another_process(tmp_path):
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    source = STEP + "new = step(params, params, state)[0]\nprint(new.sum(), new[3, 4])\n"
    first = processes.run(source, **environment)
    files = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("jit_apply_gradients"))
    assert any(name.endswith("-cache") for name in files)
    assert processes.run(source, **environment) == first
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("jit_apply_gradients")) == files


def test_clearing_jax_s_caches_and_ending_while_a_step_is_under_way():
    source = STEP + (
        "for _ in range(2):\n    print(step(params, params, state)[0][0, 0])\n    jax.clear_caches()\n"
        "params = jnp.ones(20_000_000)\nstate = one.init(params)\n"
        "for _ in range(4): params, state = step(params, params, state)\nprint('leaving')\n"
    )
    before, after, leaving = processes.run(source).splitlines()
    assert float(before) < 10
    assert (after, leaving) == (before, "leaving")


QUEUED = """
import threading, jax, jax.numpy as jnp
from rmsprop.jax import RMSprop
one, params = RMSprop(1e-3, momentum=0.9), jnp.ones((200, 200))
state = one.init(params)

@jax.jit
def step(params, state):
    grads = params
    for _ in range(4): grads = grads @ params * 1e-3
    return one.apply_gradients(grads, params, state)

jax.block_until_ready(step(params, state))

def train():
    new = params, state
    for _ in range(30): new = step(*new)
    return new
"""


HOW = {
    "kept": "kept = train()",
    "dropped": "train()",
    "independent": "for _ in range(30): step(params, state)",
    "thread": "kept = []\nthreading.Thread(target=lambda: kept.append(train())).start()",
}


@pytest.mark.parametrize(
    "how", ["dropped", *(pytest.param(name, marks=pytest.mark.slow) for name in HOW if name != "dropped")]
)
def test_a_process_ends_after_the_steps_that_are_queued(how):
    """Whether somebody holds their results or not: they need the interpreter."""
    assert processes.run(QUEUED + HOW[how] + "\nprint('queued')\n", timeout=120) == "queued"
