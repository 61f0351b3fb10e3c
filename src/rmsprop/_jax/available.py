"""What native steps need of JAX and XLA, of which little is promised: tried here, before a step goes that way."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rmsprop._core.fallback import Refused, attempt, kernels


def against_devices(platform: str, count: int) -> str:
    """Why a step for such devices is not native; "" if it is."""
    plural = "" if count == 1 else "s"
    return "" if (platform, count) == ("cpu", 1) else f"{count} {platform} device{plural}: one CPU is needed"


def problem() -> str:
    """Say why no step of this process can be native; "" if steps can.

    JAX has devices when this is called: a handler that is made known earlier is tried when they are looked for, and
    takes them all along where it fails.
    """
    return kernels() or _jax()


@cache
def _jax() -> str:
    return attempt(f"JAX {jax.__version__} does not have what they need", _try)


def _try() -> None:
    from rmsprop._jax import handler, operation
    from rmsprop._jax import native as _native

    assert _native  # all that a step is made of
    handler.register()
    # Nothing is compiled, and the kernels not yet.
    with jax.disable_jit(False):
        lowered = jax.jit(lambda one: operation.bind([one], _Trial())).lower(jax.ShapeDtypeStruct((), jnp.float32))
    if handler.NAME not in lowered.as_text():
        raise Refused(f"JAX {jax.__version__} does not lower a step for one CPU to a call of ours")


class _Trial(NamedTuple):
    """A step of one number, for JAX to lower as it would any: see `rmsprop._jax.operation.Meaning`."""

    kept: int = 1

    def traced(self, *operands: Any) -> Sequence[Any]:
        """Give the results by operations of JAX's."""
        return operands

    def native(self, *operands: Any) -> Sequence[Any]:
        """Give them by a custom call."""
        from rmsprop._jax import call

        return call.call("", operands, self.kept)
