"""Gradients of a few rows, as JAX passes them through its transformations."""

from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.rows import RowSparse


def make(indices: Any, values: Any, shape: tuple[int, ...]) -> RowSparse:
    """Put a `RowSparse` together whose parts may be traced, without looking at them."""
    made = object.__new__(RowSparse)
    made.indices, made.values, made.shape = indices, values, shape
    return made


def to_dense(gradient: jax.Array | RowSparse) -> jax.Array:
    """Give a gradient as an array; rows that occur more than once are summed, those of half types in float32."""
    if not isinstance(gradient, RowSparse):
        return gradient
    values = jnp.asarray(gradient.values)
    wide = jnp.float32 if values.dtype.itemsize == 2 else values.dtype
    # A negative number would be taken for one counted from the end: it is left out, as any that is not there.
    # Small integers are widened, which may not hold the number of rows.
    rows = jnp.asarray(gradient.indices)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.int32))
    rows = jnp.where(rows < 0, gradient.shape[0], rows)
    return jnp.zeros(gradient.shape, wide).at[rows].add(values.astype(wide), mode="drop")


def _flatten(rows: RowSparse) -> tuple[tuple[Any, Any], tuple[int, ...]]:
    return (rows.indices, rows.values), rows.shape


def _flatten_with_keys(rows: RowSparse) -> tuple[Any, tuple[int, ...]]:
    keys = jax.tree_util.GetAttrKey("indices"), jax.tree_util.GetAttrKey("values")
    return tuple(zip(keys, _flatten(rows)[0], strict=True)), rows.shape


def _unflatten(shape: tuple[int, ...], parts: Any) -> RowSparse:
    indices, values = parts
    return make(indices, values, shape)


jax.tree_util.register_pytree_with_keys(RowSparse, _flatten_with_keys, _unflatten, _flatten)
