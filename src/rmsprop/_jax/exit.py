"""The end of the process: native steps that are still queued need the interpreter, and are waited for."""

import atexit
import contextlib
import os
from functools import cache

import jax
import jax.numpy as jnp


@cache
def wait_at_exit() -> None:
    """Wait at the end of the process, before JAX and the interpreter are shut down.

    Handlers run in the opposite order of their registration, and JAX's is registered before the first native step.
    """
    atexit.register(_wait, os.getpid())


def _wait(process: int) -> None:
    if os.getpid() != process:
        return  # a forked child has none of the threads that would do them
    # A step that needs no result of another still runs after all that this thread has queued.
    with contextlib.suppress(Exception):
        jax.jit(lambda: jnp.zeros(()))().block_until_ready()
    # The steps of other threads are found by their results.
    for array in jax.live_arrays("cpu"):
        with contextlib.suppress(Exception):  # of a step that failed, or a donated array
            array.block_until_ready()
