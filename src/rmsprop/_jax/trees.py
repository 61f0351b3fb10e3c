"""Parameters, gradients and state as lists in one order: trees of any structure, checked against each other."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp

from rmsprop._core.checks import FLOATS
from rmsprop._core.rows import RowSparse


@final
class Leaves(NamedTuple):
    """The parameters of a tree."""

    #: Key paths, joined by slashes.
    names: list[str]
    values: list[jax.Array]
    #: The structure, which alone holds what is no parameter, like None.
    tree: Any

    def match(self, other: Any, what: str) -> list[Any]:
        """Return the values of another tree at the places of the parameters.

        Raises:
            ValueError: the other tree has another structure.
        """
        try:
            found: list[Any] = self.tree.flatten_up_to(other)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{what} is not the tree that params is: {error}") from error
        return found


def parameters(params: Any, *, describes: bool = False) -> Leaves:
    """Return the parameters of a tree; with `describes`, a `jax.ShapeDtypeStruct` may stand for one.

    Raises:
        TypeError: a parameter is no array of a float type.
    """
    pairs, tree = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs]
    values = [_array(name, value, describes) for name, (_, value) in zip(names, pairs, strict=True)]
    return Leaves(names, values, tree)


def templates(params: Any) -> Any:
    """Return a tree with zeros in the place of each `jax.ShapeDtypeStruct`, which describes an array."""

    def filled(one: Any) -> Any:
        return jnp.zeros(one.shape, one.dtype, device=one.sharding) if isinstance(one, jax.ShapeDtypeStruct) else one

    return jax.tree_util.tree_map(filled, params)


def _array(name: str, value: Any, describes: bool) -> jax.Array:
    try:
        array: Any = value if describes and isinstance(value, jax.ShapeDtypeStruct) else jnp.asarray(value)
    except TypeError as error:
        raise TypeError(
            f"parameter {name!r} is a {type(value).__name__}, not an array: give None in its place, as "
            "eqx.filter(params, eqx.is_inexact_array) does"
        ) from error
    if array.dtype.name not in FLOATS:
        raise TypeError(f"parameter {name!r} has the type {array.dtype}: {', '.join(FLOATS)} is needed")
    found: jax.Array = array
    return found


def gradients(grads: Any, leaves: Leaves) -> list[Any]:
    """Return the gradients of parameters: arrays, `RowSparse`, or None.

    Raises:
        TypeError: a gradient is no array of a float type.
        ValueError: a shape differs, or there is no gradient at all.

    Warns:
        UserWarning: some parameters have no gradient.
    """
    given = leaves.match(grads, "grads")
    found = [_gradient(*one) for one in zip(leaves.names, given, leaves.values, strict=True)]
    left_out = [name for name, one in zip(leaves.names, found, strict=True) if one is None]
    if left_out:
        if len(left_out) == len(found):
            raise ValueError(f"no parameter has a gradient: all of {', '.join(left_out)} came with None")
        warnings.warn(f"parameters without a gradient are left as they are: {', '.join(left_out)}", stacklevel=4)
    return found


def _gradient(name: str, gradient: Any, variable: jax.Array) -> Any:
    if isinstance(gradient, RowSparse):
        shape, dtype = tuple(gradient.shape), jnp.asarray(gradient.values).dtype
    elif not jax.tree_util.tree_leaves(gradient):  # None, or what a mask of optax leaves
        return None
    else:
        try:
            if is_container(gradient):
                raise TypeError("it holds others")
            gradient = jnp.asarray(gradient)
        except TypeError as error:
            raise TypeError(f"the gradient of {name!r} is a {type(gradient).__name__}, not an array") from error
        shape, dtype = gradient.shape, gradient.dtype
    if dtype.name not in FLOATS:
        raise TypeError(f"the gradient of {name!r} has the type {dtype}: {', '.join(FLOATS)} is needed")
    if shape != variable.shape:
        raise ValueError(f"the gradient of {name!r} has the shape {shape}, not {variable.shape}")
    return gradient


def is_container(value: Any) -> bool:
    """Whether a value is itself a tree with leaves below it."""
    return not jax.tree_util.all_leaves([value])


def flags(mask: Any, params: Any, leaves: Leaves) -> list[bool]:
    """Return the bool of an optax mask for each parameter of a tree.

    Raises:
        TypeError: the mask holds something else than bools.
        ValueError: the mask has another structure than `params`.
    """
    if mask is None:
        return [True] * len(leaves.values)
    mask = mask(params) if _is_function(mask) else mask
    try:
        spread = jax.tree.broadcast(mask, params)
    except ValueError as error:
        raise ValueError(f"mask={mask!r} is not the tree that params is, nor the upper part of it: {error}") from error
    found = leaves.match(spread, "mask")
    for name, one in zip(leaves.names, found, strict=True):
        if type(one).__name__ not in ("bool", "bool_"):
            raise TypeError(f"mask holds {one!r} for parameter {name!r}: True or False is needed")
    return [bool(one) for one in found]


def _is_function(mask: Any) -> bool:
    """Whether a mask is to be called: a `Partial`, or a callable without leaves other than functions."""
    if isinstance(mask, jax.tree_util.Partial):
        return True
    return callable(mask) and all(map(callable, jax.tree_util.tree_leaves(mask)))


def is_traced(trees: Any) -> bool:
    """Whether a leaf is being traced."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree_util.tree_leaves(trees))


def strong(leaf: Any) -> Any:
    """Return a number or an array with a type that is not weak, as a step returns it: a second step is the same."""
    if isinstance(leaf, jax.Array) and not leaf.weak_type:
        return leaf
    try:
        array = jnp.asarray(leaf)
    except TypeError:  # the step names the leaf
        return leaf
    return jax.lax.convert_element_type(array, array.dtype)


def rebuild(leaves: Leaves, values: Sequence[Any]) -> Any:
    """Return values as a tree of the parameters' structure."""
    return jax.tree_util.tree_unflatten(leaves.tree, values)
