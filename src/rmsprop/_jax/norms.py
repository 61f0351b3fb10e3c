"""Scales of gradients, so that norms keep within a limit: limit / max(norm, limit).

In float64 where JAX has it. Otherwise in float32: XLA sums in a tree, which was 8e-8 off for 2**25 normal numbers; a
sum of squares beyond float32's range is taken again of numbers scaled down by a power of two.
"""

from collections.abc import Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy
from jax import lax

#: Squares of float32 numbers times this neither overflow, nor vanish if those of the numbers themselves overflow.
_DOWN: Final = 2.0**-96


def squares(gradient: jax.Array, axis_name: tuple[str, ...] | None) -> list[Any]:
    """Return the sum of a dense gradient's squares and, in float32, that of the squares of gradient * 2**-96.

    They are summed over the mesh axes `axis_name`.

    Raises:
        ValueError: the gradient differs along an axis of a mesh, and `axis_name` is None.
    """
    wide = jnp.result_type(float)
    gradient = gradient.astype(wide)
    found = [jnp.sum(jnp.square(gradient))]
    if wide != numpy.float64:
        found.append(jnp.sum(jnp.square(gradient * _DOWN)))
    axes = _axes_to_sum(axis_name, found[0], gradient)
    return [lax.psum(one, axes) for one in found] if axes else found


def joint_scale(squares: Sequence[Sequence[Any]], limit: Any) -> Any:
    """Return limit / max(norm, limit) for the norm of all gradients; NaN where the norm is not finite."""
    total = [sum(parts[1:], parts[0]) for parts in zip(*squares, strict=True)]
    # A scale of 0 would hide an infinite gradient in all but its own tensor. Two branches, because XLA for CPUs takes
    # what it can select into the loop of every variable, with the sum over all of them: it compiled for minutes.
    return lax.cond(
        jnp.isfinite(total[-1]), lambda total: own_scale(total, limit), lambda total: total[0] * jnp.nan, total
    )


def own_scale(squares: Sequence[Any], limit: Any) -> Any:
    """Return limit / max(norm, limit) from sums of squares as `squares` returns them."""
    scale = _within(squares[0], limit)
    if len(squares) == 1:
        return scale
    overflown = jnp.isinf(squares[0])
    # The side that is not chosen gets a harmless number: its derivative is chosen against by multiplying with 0.
    return jnp.where(overflown, _within(jnp.where(overflown, squares[1], 1), limit * _DOWN), scale)


def _axes_to_sum(axis_name: tuple[str, ...] | None, square: Any, gradient: Any) -> tuple[str, ...]:
    """Return the mesh axes over which a gradient is sharded here, within a `shard_map`."""
    varying = _varying(square)
    if axis_name is None:
        if varying:
            raise ValueError(
                f"a gradient of shape {gradient.shape} differs along the mesh axes {', '.join(sorted(varying))}, and "
                "its norm is to be clipped: pass axis_name, the axes over which parameters are sharded, so that norms "
                "are summed over them, or axis_name=() for the norm of each device's part on its own"
            )
        return ()
    # A gradient that is the same everywhere would be counted once for each device.
    checked = any(_varying(lax.axis_index(name)) for name in axis_name)
    return tuple(name for name in axis_name if name in varying or not checked)


def _varying(array: Any) -> frozenset[str]:
    """Return the mesh axes along which an array differs, if a `shard_map` tracks them."""
    kind: Any = jax.typeof(array)
    axes: frozenset[str] = kind.manual_axis_type.varying if hasattr(kind, "manual_axis_type") else kind.vma
    return axes


def _within(square: Any, limit: Any) -> Any:
    """Return limit / sqrt(square), but exactly 1 where the root keeps within the limit."""
    limit = jnp.asarray(limit, square.dtype)
    inside = lax.stop_gradient(jnp.sqrt(square)) <= limit
    return jnp.where(inside, 1, limit / jnp.sqrt(jnp.where(inside, 1, square)))
