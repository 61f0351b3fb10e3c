"""Making gradients of a few rows of arrays that JAX may be tracing."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rmsprop._core.options import FLOATS
from rmsprop._core.rows import RowSparse
from rmsprop._jax.row_gradients import make


def row_sparse(indices: Any, values: Any, shape: Sequence[int]) -> RowSparse:
    r"""Make a gradient that is zero but for some rows, from arrays of JAX's.

    It stands for the dense array :math:`G` of the given shape with
    :math:`G_r = \sum_{k:\, \mathtt{indices}_k = r} \mathtt{values}_k`, and is stepped with exactly as that. Unlike the
    constructor of `rmsprop.RowSparse`, this works within `jax.jit`, too. What it makes is a tree of two arrays.

    Args:
        indices: row numbers, integers of shape ``(n,)``, in any order; repeats are summed. While JAX traces, their
            values cannot be seen: rows that are not there are left out then.
        values: the rows, floating point of shape ``(n, *shape[1:])``.
        shape: shape of the parameter, at least one axis.

    Raises:
        TypeError: an argument is not of the kind said above.
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
    return make(indices, values, tuple(shape))
