"""TensorFlow traces the rule, for every set of options."""

import numpy
import pytest
import rules
import tensorflow as tf

from rmsprop._core import rule


def select(condition, x, y):
    return tf.where(condition, tf.cast(x, y.dtype), y)


update = rule.bind(sqrt=tf.sqrt, divide=tf.divide, select=select)


@pytest.mark.parametrize("on", rules.VARIANTS)
@pytest.mark.matrix
def test_traced_in_a_graph(on):
    given = {name: None if value is None else tf.constant(value) for name, value in rules.arguments(on).items()}
    results = tf.function(lambda: update(**given))()
    for found, wanted in zip(results, rules.expected(on), strict=True):
        # Grappler may rewrite; 1.2e-7 of the element was measured.
        finite = numpy.isfinite(wanted)
        numpy.testing.assert_array_equal(numpy.isfinite(found), finite)
        numpy.testing.assert_allclose(numpy.asarray(found)[finite], wanted[finite], rtol=1e-6, atol=1e-6)
