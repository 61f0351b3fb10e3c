"""What native steps need of JAX and XLA, of which little is promised: tried here, before the first native step."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp

from rmsprop._core.fallback import Refused, attempt, kernels


def against_devices(platform: str, count: int) -> str:
    """Return why a step for such devices is not native; "" if it is."""
    plural = "" if count == 1 else "s"
    return "" if (platform, count) == ("cpu", 1) else f"{count} {platform} device{plural}: one CPU is needed"


def problem() -> str:
    """Return why no step of this process can be native; "" if steps can.

    JAX has devices when this is called: a handler that is registered earlier is tried when JAX looks for devices, and
    all devices are lost if the handler fails.
    """
    return kernels() or _jax()


@cache
def _jax() -> str:
    return attempt(f"JAX {jax.__version__} does not have what they need", _try)


def _try() -> None:
    from rmsprop._jax import handler, native, operation

    @final
    class Trial(NamedTuple):
        """A step of one number; see `rmsprop._jax.operation.Meaning`."""

        replaced: int = 1

        def traced(self, *operands: Any) -> Sequence[Any]:
            return operands

        def native(self, *operands: Any) -> Sequence[Any]:
            return native.call("", operands, self.replaced)

    handler.register()
    # Neither the step nor a kernel is compiled.
    with jax.disable_jit(False):
        lowered = jax.jit(lambda one: operation.bind([one], Trial())).lower(jax.ShapeDtypeStruct((), jnp.float32))
    if handler.NAME not in lowered.as_text():
        raise Refused(f"JAX {jax.__version__} does not lower a step for one CPU to a call of ours")
