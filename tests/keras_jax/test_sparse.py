"""See `tests/common/keras_sparse.py`."""

import jax
import jax.numpy as jnp
import keras
import keras_sparse
import numpy
import pytest
from jax.experimental.sparse import BCOO, BCSR

from rmsprop.keras import RMSprop


class TestSparse(keras_sparse.Sparse):
    """`BCOO` of rows."""

    def make(self, rows, values, shape):
        return BCOO((jnp.asarray(values), jnp.asarray(rows, jnp.int32).reshape(-1, 1)), shape=shape)

    def test_padding_behind_the_last_row_is_nothing(self):
        values = numpy.ones((2, 3), "float32")
        expected = self.steps([self.make([1], values[:1], (5, 3))])
        for one, other in zip(self.steps([self.make([1, 5], values, (5, 3))]), expected, strict=True):
            numpy.testing.assert_array_equal(one, other)


class TestElements(keras_sparse.Sparse):
    """`BCOO` of elements."""

    def make(self, rows, values, shape):
        columns = values.shape[1]
        places = [[row, column] for row in rows for column in range(columns)]
        return BCOO((jnp.asarray(values).ravel(), jnp.asarray(places, jnp.int32).reshape(-1, 2)), shape=shape)


@pytest.mark.parametrize("kind", [pytest.param(BCOO, marks=pytest.mark.slow), BCSR])
def test_other_kinds_and_steps_that_are_traced(kind):
    dense = numpy.zeros((5, 3), "float32")
    dense[1], dense[4, 2] = 0.5, -2.0
    found = []
    for gradient in (kind.fromdense(dense), jnp.asarray(dense)):
        variable, optimizer = keras.Variable(numpy.ones((5, 3), "float32")), RMSprop(0.1)
        optimizer.apply([gradient], [variable])
        values = [one.value for one in optimizer.variables]
        new, _ = jax.jit(lambda *all_, o=optimizer: o.stateless_apply(*all_))(values, [gradient], [variable.value])
        found.append((variable.numpy(), numpy.asarray(new[0])))
    for one, other in zip(*found, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_whole_numbers_are_refused():
    gradient = BCOO((jnp.ones((1, 3), jnp.int32), jnp.zeros((1, 1), jnp.int32)), shape=(5, 3))
    with pytest.raises((TypeError, ValueError), match="gradient"):
        RMSprop(0.1).apply([gradient], [keras.Variable(numpy.ones((5, 3), "float32"))])
