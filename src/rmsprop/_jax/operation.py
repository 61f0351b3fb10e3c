"""A step as one primitive of JAX's: our kernels where it is compiled for one CPU, else the traced rule.

What is known late decides late. JAX asks for a primitive's meaning when it differentiates (`jvp`), when it maps
(`vmap`), and when it compiles, for a platform and a number of devices that no tracer can see. Everything but a
compilation for one CPU in this process is answered by tracing the rule, so nothing is lost by writing a step as one
operation: it can be differentiated, mapped, exported, and compiled for other devices.
"""

from collections.abc import Callable, Sequence
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
    """What the primitive means, as its parameter: equal ones are compiled once.

    Attributes:
        kept: how many operands at the end are what the results take the place of.
    """

    @property
    def kept(self) -> int: ...

    def traced(self, *operands: Any) -> Sequence[Any]:
        """Give the results by operations of JAX's."""

    def native(self, *operands: Any) -> Sequence[Any]:
        """Give them by a custom call for the CPU."""


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
    # Who does without compilations of their own functions sees JAX's operations, which still are compiled each.
    with jax.disable_jit(False):
        return _compiled(meaning, *operands)


@partial(jax.jit, static_argnums=0)
def _compiled(meaning: Meaning, *operands: Any) -> Any:
    return _step.bind(*operands, meaning=meaning)


@_step.def_abstract_eval
def _results(*operands: Any, meaning: Meaning) -> Any:
    return [one.update(weak_type=False) for one in operands[len(operands) - meaning.kept :]]


def _differentiate(operands: Sequence[Any], tangents: Sequence[Any], *, meaning: Meaning) -> Any:
    # Whole numbers have none, and of most others it is known to be zero.
    places = [place for place, tangent in enumerate(tangents) if not _is_zero(tangent)]

    def traced(*chosen: Any) -> Sequence[Any]:
        given = list(operands)
        for place, one in zip(places, chosen, strict=True):
            given[place] = one
        return meaning.traced(*given)

    return jax.jvp(traced, [operands[place] for place in places], [tangents[place] for place in places])


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, Zero) or tangent.dtype == float0


def _map(operands: Sequence[Any], axes: Sequence[int | None], *, meaning: Meaning) -> Any:
    return jax.vmap(meaning.traced, in_axes=tuple(axes))(*operands), [0] * meaning.kept


def _lower_for_cpu(context: Any, *operands: Any, meaning: Meaning) -> Any:
    module = context.module_context
    # An exported step may run in a process without us.
    exported = module.lowering_parameters.for_export
    # Within a shard_map there is no such number.
    against = against_devices("cpu", getattr(module.axis_context, "num_devices", 0))
    return _lower(meaning.traced if exported or against else meaning.native, context, operands)


def _lower_elsewhere(context: Any, *operands: Any, meaning: Meaning) -> Any:
    return _lower(meaning.traced, context, operands)


def _lower(function: Callable[..., Any], context: Any, operands: Sequence[Any]) -> Any:
    return lower_fun(function, multiple_results=True)(context, *operands)


primitive_jvps[_step] = _differentiate
primitive_batchers[_step] = _map
register_lowering(_step, _lower_for_cpu, platform="cpu")
register_lowering(_step, _lower_elsewhere)
