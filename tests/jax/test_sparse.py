"""Gradients of a few rows: what they stand for, and what is refused."""

import jax
import jax.numpy as jnp
import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop import RowSparse
from rmsprop.jax import RMSprop, rmsprop, row_sparse

ROWS, VALUES = numpy.array([4, 0, 4, 2]), numbers((4, 3))
TABLE = jnp.asarray(numbers((6, 3), seed=1))
makers = pytest.mark.parametrize("make", [RowSparse, row_sparse])


def dense(values=VALUES):
    return jnp.asarray(RowSparse(ROWS, values, (6, 3)).to_dense())


def assert_equal(one, other):
    jax.tree.map(numpy.testing.assert_array_equal, one, other)


@makers
@pytest.mark.parametrize("options", [{}, EVERYTHING, {"clipnorm": 0.5}], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_numbers_of_the_dense_gradient(make, options, compiled):
    optimizer = RMSprop(**options)
    step = jax.jit(optimizer.apply_gradients) if compiled else optimizer.apply_gradients
    params, other = {"table": TABLE, "bias": jnp.ones(3)}, {"table": TABLE, "bias": jnp.ones(3)}
    state, theirs = optimizer.init(params), optimizer.init(params)
    for _ in range(3):
        params, state = step({"table": make(ROWS, VALUES, (6, 3)), "bias": jnp.ones(3)}, params, state)
        other, theirs = step({"table": dense(), "bias": jnp.ones(3)}, other, theirs)
    # Measured 0; a norm may be summed in another order after a scatter.
    jax.tree.map(lambda x, y: numpy.testing.assert_allclose(x, y, rtol=0, atol=3e-7), (params, state), (other, theirs))


@makers
def test_the_update_of_the_transformation_is_dense(make):
    transformation = rmsprop(momentum=0.9)
    state = transformation.init(TABLE)
    found = jax.jit(transformation.update)(make(ROWS, VALUES, (6, 3)), state, TABLE)
    assert_equal(found, jax.jit(transformation.update)(dense(), state, TABLE))


def test_made_of_what_is_traced():
    @jax.jit
    def step(rows, values, params):
        optimizer = RMSprop()
        return optimizer.apply_gradients(row_sparse(rows, values, (6, 3)), params, optimizer.init(params))[0]

    expected, _ = RMSprop().apply_gradients(dense(), TABLE, RMSprop().init(TABLE))
    assert_equal(step(ROWS, VALUES, TABLE), expected)


def test_rows_that_are_not_there_are_left_out_while_tracing():
    optimizer = RMSprop()

    @jax.jit
    def step(rows):
        return optimizer.apply_gradients(row_sparse(rows, VALUES, (6, 3)), TABLE, optimizer.init(TABLE))[0]

    values = VALUES.copy()
    values[1] = values[3] = 0
    assert_equal(step(jnp.array([4, -1, 4, 6])), step(jnp.array([4, 6, 4, -6])))
    expected, _ = optimizer.apply_gradients(dense(values), TABLE, optimizer.init(TABLE))
    assert_equal(step(jnp.array([4, -1, 4, 6])), expected)


@pytest.mark.parametrize(("dtype", "rows"), [("int8", [4, -1, 4]), ("uint8", [4, 255, 4]), ("uint32", [4, 2**31, 4])])
def test_row_numbers_of_any_type(dtype, rows):
    """A table may have more rows than their type has numbers; negative ones are left out."""
    optimizer, table = RMSprop(1.0, rho=1.0, epsilon=1.0), jnp.zeros((300, 1))

    @jax.jit
    def step(rows):
        return optimizer.apply_gradients(row_sparse(rows, jnp.ones((3, 1)), (300, 1)), table, optimizer.init(table))[0]

    expected = numpy.zeros((300, 1))
    expected[4] = -2
    if dtype == "uint8":
        expected[255] = -1
    assert_equal(step(jnp.array(rows, dtype)), expected)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_repeats_of_half_types_are_summed_in_float32(dtype):
    rows, values = numpy.zeros(3, int), jnp.array([[1024.0], [0.5], [0.5]], dtype)
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0), jnp.zeros((1, 1))
    new, _ = optimizer.apply_gradients(row_sparse(rows, values, (1, 1)), w, optimizer.init(w))
    assert float(new[0, 0]) == -1025


def test_it_is_a_tree_of_two_arrays():
    gradient = row_sparse(ROWS, VALUES, (6, 3))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path({"w": gradient})[0]]
    assert paths == ["['w'].indices", "['w'].values"]
    halved = jax.tree.map(lambda one: one * (1 if one.dtype == jnp.int32 else 0.5), gradient)
    assert isinstance(halved, RowSparse)
    assert_equal(halved.values, gradient.values / 2)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([6], [[1.0]], (6, 1)), ValueError, "indices holds 6, which is not from 0 to 5"),
        (([-1], [[1.0]], (6, 1)), ValueError, "indices holds -1"),
        (([0.5], [[1.0]], (6, 1)), TypeError, "indices has the type float32"),
        (([0], [[1]], (6, 1)), TypeError, "values has the type int32"),
        (([0], [[1.0, 2.0]], (6, 1)), ValueError, r"values has the shape \(1, 2\), not \(1, 1\)"),
    ],
)
def test_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        row_sparse(*arguments)
    if error is TypeError or "shape" in match:
        with pytest.raises(error, match=r"integers and floats are needed|are no rows of shape=\(6, 1\)"):
            jax.jit(lambda rows, values: row_sparse(rows, values, arguments[2]).values)(*map(jnp.array, arguments[:2]))


def test_a_shape_that_is_not_the_parameters():
    optimizer, params = RMSprop(), {"w": jnp.ones((5, 3))}
    state, grads = optimizer.init(params), {"w": row_sparse(ROWS, VALUES, (6, 3))}
    with pytest.raises(ValueError, match=r"gradient of 'w' has the shape \(6, 3\), not \(5, 3\)"):
        optimizer.apply_gradients(grads, params, state)
