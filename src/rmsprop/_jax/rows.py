"""Gradients of a few rows: made of arrays that JAX may be tracing, and as JAX's transformations pass them on."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.checks import FLOATS
from rmsprop._core.rows import RowSparse


def row_sparse(indices: Any, values: Any, shape: Sequence[int]) -> RowSparse:
    """Make a gradient that is zero but for some rows, from arrays of JAX.

    The gradient stands for the dense array ``G`` of the given shape in which ``G[r]`` is the sum of ``values[k]`` over
    all ``k`` with ``indices[k] == r``, and is stepped with exactly as that array. Unlike the constructor of
    `rmsprop.RowSparse`, this function works within `jax.jit`. The result is a tree of two arrays.

    Args:
        indices: row numbers, integers of shape ``(n,)``, in any order; repeats are summed. While JAX traces, their
            values cannot be seen: rows out of range are left out then.
        values: the rows, floating point of shape ``(n, *shape[1:])``.
        shape: shape of the parameter, at least one axis.

    Raises:
        TypeError: `indices` are no integers, or `values` are not of a float type.
        ValueError: a shape does not fit, or a row number that can be seen is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from rmsprop.jax import RMSprop, row_sparse
        >>> params, optimizer = {"table": jnp.zeros((4, 2))}, RMSprop(0.1)
        >>> grads = {"table": row_sparse(jnp.array([2, 2]), jnp.ones((2, 2)), (4, 2))}
        >>> params, state = optimizer.apply_gradients(grads, params, optimizer.init(params))
        >>> print(params["table"][2].round(6))
        [-0.316228 -0.316228]

    References:
        The counterpart of `tf.IndexedSlices`.
    """
    indices, values = jnp.asarray(indices), jnp.asarray(values)
    if not any(isinstance(one, jax.core.Tracer) for one in (indices, values)):
        RowSparse(indices, values, tuple(shape))  # which looks at the numbers
    if not jnp.issubdtype(indices.dtype, jnp.integer) or values.dtype.name not in FLOATS:
        raise TypeError(f"indices has the type {indices.dtype}, values {values.dtype}: integers and floats are needed")
    wanted = (*indices.shape, *shape[1:])
    if not len(shape) or indices.ndim != 1 or values.shape != wanted:
        raise ValueError(
            f"indices of shape {indices.shape} and values of shape {values.shape} are no rows of shape={shape!r}"
        )
    return _make(tuple(shape), (indices, values))


def to_dense(gradient: jax.Array | RowSparse) -> jax.Array:
    """Return a gradient as an array; repeated rows are summed, those of half types in float32."""
    if not isinstance(gradient, RowSparse):
        return gradient
    values = jnp.asarray(gradient.values)
    wide = jnp.float32 if values.dtype.itemsize == 2 else values.dtype
    # JAX counts a negative number from the end: it is left out, as any number out of range.
    # Small integers are widened, which may not hold the number of rows.
    rows = jnp.asarray(gradient.indices)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.int32))
    rows = jnp.where(rows < 0, gradient.shape[0], rows)
    return jnp.zeros(gradient.shape, wide).at[rows].add(values.astype(wide), mode="drop")


def _make(shape: tuple[int, ...], parts: Any) -> RowSparse:
    """Make a `RowSparse` of arrays that may be traced, without a look at their numbers."""
    made = object.__new__(RowSparse)
    (made.indices, made.values), made.shape = parts, shape
    return made


def _flatten(rows: RowSparse) -> tuple[tuple[Any, Any], tuple[int, ...]]:
    return (rows.indices, rows.values), rows.shape


def _flatten_with_keys(rows: RowSparse) -> tuple[Any, tuple[int, ...]]:
    pairs = [(jax.tree_util.GetAttrKey(name), getattr(rows, name)) for name in ("indices", "values")]
    return tuple(pairs), rows.shape


jax.tree_util.register_pytree_with_keys(RowSparse, _flatten_with_keys, _make, _flatten)
