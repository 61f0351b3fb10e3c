"""A step as one primitive of JAX: our kernels where it is compiled for one CPU, else the traced rule.

What is known late decides late. JAX asks for a primitive's meaning when it differentiates (`jvp`), when it maps
(`vmap`), and when it compiles, for a platform and a number of devices that no tracer can see. Everything but a
compilation for one CPU in this process is answered by tracing the rule, so nothing is lost by writing a step as one
operation: it can be differentiated, mapped, exported, and compiled for other devices.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import jax
from jax.dtypes import float0
from jax.extend.core import Primitive
from jax.interpreters.ad import Zero, primitive_jvps
from jax.interpreters.batching import primitive_batchers
from jax.interpreters.mlir import lower_fun, register_lowering

from rmsprop._jax.available import against_devices

_step = Primitive("rmsprop_step")
_step.multiple_results = True


class Meaning(Protocol):
    """The parameter of the primitive, a step as a function of arrays; equal ones are compiled once."""

    @property
    def replaced(self) -> int:
        """Number of operands at the end in whose memory the results are."""

    def traced(self, *operands: Any) -> Sequence[Any]:
        """Return the results by operations of JAX."""

    def native(self, *operands: Any) -> Sequence[Any]:
        """Return the results by custom calls for the CPU."""


def bind(operands: Sequence[Any], meaning: Meaning) -> Sequence[Any]:
    """Do a step, or add it to what is being traced."""
    found: Sequence[Any] = _step.bind(*operands, meaning=meaning)
    return found


@_step.def_impl
def _run(*operands: Any, meaning: Meaning) -> Any:
    config: Any = jax.config  # whose flags a type checker does not see
    if config.jax_debug_nans or config.jax_debug_infs:
        # To name the operation that made a NaN, JAX does again, one by one, what it had compiled: `_compiled` would
        # come back here for ever.
        return meaning.traced(*operands)
    # `jax.disable_jit` is for the user's own functions: JAX's operations are compiled in spite of it, and so is this.
    with jax.disable_jit(False):
        return _compiled(meaning, *operands)


@partial(jax.jit, static_argnums=0)
def _compiled(meaning: Meaning, *operands: Any) -> Any:
    return bind(operands, meaning)


@_step.def_abstract_eval
def _results(*operands: Any, meaning: Meaning) -> Any:
    return [one.update(weak_type=False) for one in operands[len(operands) - meaning.replaced :]]


def _differentiate(operands: Sequence[Any], tangents: Sequence[Any], *, meaning: Meaning) -> Any:
    # Whole numbers have no tangents, and most other tangents are known to be zero.
    places = [place for place, one in enumerate(tangents) if not (isinstance(one, Zero) or one.dtype == float0)]

    def traced(*chosen: Any) -> Sequence[Any]:
        given = list(operands)
        for place, one in zip(places, chosen, strict=True):
            given[place] = one
        return meaning.traced(*given)

    return jax.jvp(traced, [operands[place] for place in places], [tangents[place] for place in places])


def _map(operands: Sequence[Any], axes: Sequence[int | None], *, meaning: Meaning) -> Any:
    return jax.vmap(meaning.traced, in_axes=tuple(axes))(*operands), [0] * meaning.replaced


def _lower_for_cpu(context: Any, *operands: Any, meaning: Meaning) -> Any:
    module = context.module_context
    # An exported step may run in a process without this package.
    exported = module.lowering_parameters.for_export
    # Within a shard_map there is no such number.
    against = against_devices("cpu", getattr(module.axis_context, "num_devices", 0))
    function = meaning.traced if exported or against else meaning.native
    return lower_fun(function, multiple_results=True)(context, *operands)


def _lower_elsewhere(context: Any, *operands: Any, meaning: Meaning) -> Any:
    return lower_fun(meaning.traced, multiple_results=True)(context, *operands)


primitive_jvps[_step] = _differentiate
primitive_batchers[_step] = _map
register_lowering(_step, _lower_for_cpu, platform="cpu")
register_lowering(_step, _lower_elsewhere)
