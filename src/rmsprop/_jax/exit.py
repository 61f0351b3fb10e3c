"""The end of the process: native steps that are still queued need the interpreter, which must not go before them."""

import atexit
import contextlib
import os
from functools import cache

import jax
import jax.numpy as jnp


@cache
def wait_at_exit() -> None:
    """Let the process wait at its end, before JAX and the interpreter are taken down.

    Handlers run in the opposite order of their registration: JAX's are there already when there is a native step.
    """
    atexit.register(_wait, os.getpid())


def _wait(process: int) -> None:
    if os.getpid() != process:
        return  # a forked child has none of the threads that would do them
    # What waits for nothing itself comes after all that this thread has queued, also where no result is left.
    with contextlib.suppress(Exception):
        jax.jit(lambda: jnp.zeros(()))().block_until_ready()
    # What other threads have queued is found by its results.
    for array in jax.live_arrays("cpu"):
        with contextlib.suppress(Exception):  # of a step that failed, or whose memory was given away
            array.block_until_ready()
