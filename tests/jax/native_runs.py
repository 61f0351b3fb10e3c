"""Steps of `rmsprop.jax.RMSprop` on both ways, and how to tell them apart."""

import jax
import jax.numpy as jnp
import numpy

from rmsprop._core import switches
from rmsprop.jax import RMSprop

#: The name of our custom call in what is compiled.
CALL = "custom_call @rmsprop_step"


def optimizer(monkeypatch, native=True, **options):
    """An optimizer that goes by our kernels where it can, or by XLA."""
    monkeypatch.setenv(switches.SWITCH, str(int(native)))
    return RMSprop(**options)


def text(function, *arguments):
    """What XLA is given to compile."""
    return jax.jit(function).lower(*arguments).as_text()


def copies(tree):
    """The same numbers in memory of their own."""
    return jax.tree.map(jnp.copy, tree)


def places(tree):
    """Where the numbers of each array are that has any."""
    return [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree) if leaf.size]


def assert_same(found, wanted):
    """All arrays of two trees have the same types and the same bits, NaN for NaN."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        numpy.testing.assert_array_equal(numpy.asarray(one), numpy.asarray(other), strict=True)


def assert_near(found, wanted, bound):
    """No number of two trees is farther apart than a part of the largest of its array."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        one, other = (numpy.asarray(array, numpy.float64) for array in (one, other))
        if other.size:
            assert abs(one - other).max() <= bound * abs(other).max()
