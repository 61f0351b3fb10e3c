"""JAX traces the rule, for every set of options."""

import jax
import jax.numpy as jnp
import numpy
import pytest
import rules

from rmsprop._core import rule

update = rule.bind(sqrt=jnp.sqrt, divide=jnp.divide, select=jnp.where)


@pytest.mark.parametrize("on", rules.VARIANTS)
@pytest.mark.matrix
def test_traced_under_jit(on):
    results = jax.jit(lambda given: update(**given))(rules.arguments(on))
    for found, wanted in zip(results, rules.expected(on), strict=True):
        # XLA contracts multiplications and additions: 2.4e-7 of the largest element was measured.
        finite = numpy.isfinite(wanted)
        numpy.testing.assert_array_equal(numpy.isfinite(found), finite)
        found = numpy.asarray(found)
        small = finite & (abs(wanted) < 1e6)
        numpy.testing.assert_allclose(found[small], wanted[small], rtol=1e-6, atol=1e-6)
        numpy.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-6, atol=1e-6)
