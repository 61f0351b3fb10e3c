"""Gradients of few rows, `tf.IndexedSlices`, are what the dense ones would be: to the bit, as sums here are exact."""

import cases
import numpy
import original
import pytest
import runs
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rmsprop.tf_keras import RMSprop

MODES = [(native, way) for native in (True, False) for way in ("eager", "function")]
modes = pytest.mark.parametrize(
    ("native", "way"), MODES, ids=[f"{'native' if native else 'traced'}-{way}" for native, way in MODES]
)

SHAPE = (6, 3)

#: Rows of successive steps: one, duplicates out of order, none, the ends, the same one thrice, all, none again.
ROWS = [[2], [4, 1, 4, 0, 1], [], [0, 5], [3, 3, 3], [5, 4, 3, 2, 1, 0], []]


def whole_numbers(rows, shape=SHAPE, seed=0):
    """Values for each step's rows, whose sums are exact in every type."""
    random = numpy.random.default_rng(seed)
    return [random.integers(-4, 5, (len(one), *shape[1:])) for one in rows]


def to_dense(indices, values, shape=SHAPE):
    found = numpy.zeros(shape)
    numpy.add.at(found, numpy.array(indices, int), values)
    return found


def stepper(optimizer, variable, way, indices="int64"):
    """A function of rows and values that does a step, traced once for any number of them."""

    def step(indices, values):
        shape = tf.constant(variable.shape.as_list(), tf.int64)
        optimizer.apply_gradients([(tf.IndexedSlices(values, indices, shape), variable)])

    specs = [tf.TensorSpec([None], indices), tf.TensorSpec([None, *variable.shape[1:]], variable.dtype)]
    run = step if way == "eager" else tf.function(step, input_signature=specs)
    return lambda rows, values: run(tf.constant(rows, indices), tf.cast(tf.constant(values), variable.dtype))


def built(options, dtype="float32", shape=SHAPE, **arguments):
    start = numpy.linspace(-1, 1, int(numpy.prod(shape))).reshape(shape)
    optimizer, variables = runs.build(options, {"w": tf.cast(tf.constant(start), dtype)}, **arguments)
    return optimizer, variables["w"]


def assert_same_state(one, other):
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        runs.assert_bits(mine.numpy(), theirs.numpy())


_dense = {}


def dense_steps(case, native):
    """What dense gradients make of a case, done once for both ways: the optimizer, and the variable after each step."""
    if (case.desc, native) not in _dense:
        (dense, expected), path = built(case.options, native=native), []
        for rows, values in zip(ROWS, whole_numbers(ROWS), strict=True):
            dense.apply_gradients([(tf.constant(to_dense(rows, values), "float32"), expected)])
            path.append(expected.numpy())
        _dense[case.desc, native] = dense, path
    return _dense[case.desc, native]


@modes
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(4)
def test_sparse_equals_dense(case, native, way):
    (sparse, w), (dense, path) = built(case.options, native=native), dense_steps(case, native)
    step = stepper(sparse, w, way)
    for rows, values, expected in zip(ROWS, whole_numbers(ROWS), path, strict=True):
        step(rows, values)
        runs.assert_bits(w.numpy(), expected)
    assert_same_state(sparse, dense)


@modes
@pytest.mark.parametrize("indices", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.matrix(4)
def test_sparse_equals_dense_in_other_types(dtype, indices, native, way):
    options = {"learning_rate": 2.0**-7, "momentum": 0.9, "global_clipnorm": 3.0}
    (sparse, w), (dense, expected) = (built(options, dtype, native=native) for _ in range(2))
    step = stepper(sparse, w, way, indices)
    for rows, values in zip(ROWS, whole_numbers(ROWS), strict=True):
        step(rows, values)
        dense.apply_gradients([(tf.cast(tf.constant(to_dense(rows, values)), dtype), expected)])
    runs.assert_bits(w.numpy(), expected.numpy())
    assert_same_state(sparse, dense)


@modes
@pytest.mark.parametrize(("dtype", "digits"), [("float16", 10), ("bfloat16", 7)])
@pytest.mark.matrix(4)
def test_rows_of_half_types_are_summed_in_float32(dtype, digits, native, way):
    """One at a time, two small numbers are nothing beside a large one."""
    large, options = (
        2.0 ** (digits + 1),
        {"learning_rate": 2.0 ** -(digits + 1), "rho": 1.0, "epsilon": 1.0},
    )  # w - lr g
    optimizer, variables = runs.build(options, {"w": tf.zeros((3, 2), dtype)}, native=native)
    stepper(optimizer, variables["w"], way)([1, 1, 1], numpy.array([[large, 1.0], [1.0, large], [1.0, 1.0]]))
    assert (variables["w"].numpy()[1].astype(float) == -1 - 2.0**-digits).all()


@modes
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2, 2, 2), (1, 4), (6, 0), (0, 3)], ids=str)
@pytest.mark.matrix(5)
def test_sparse_equals_dense_in_other_shapes(shape, native, way):
    (sparse, w), (dense, expected) = (built({"clipnorm": 2.0}, shape=shape, native=native) for _ in range(2))
    step, few = stepper(sparse, w, way), [[row for row in rows if row < shape[0]] for rows in ROWS]
    for rows, values in zip(few, whole_numbers(few, shape), strict=True):
        step(rows, values)
        dense.apply_gradients([(tf.constant(to_dense(rows, values, shape), "float32"), expected)])
    runs.assert_bits(w.numpy(), expected.numpy())


_rows = st.lists(st.integers(0, 5), max_size=20)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(_rows, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_any_rows_equal_dense(rows, seed):
    (sparse, w), (dense, expected) = _kept()
    for indices, values in zip(rows, whole_numbers(rows, seed=seed), strict=True):
        sparse(indices, values)
        dense([tf.constant(to_dense(indices, values), "float32")])
        runs.assert_bits(w.numpy(), expected.numpy())


def _kept(made=[]):  # noqa: B006
    """Two optimizers that all examples share: each new one would be traced anew."""
    if not made:
        (sparse, w), (dense, expected) = (built({"momentum": 0.5, "global_clipnorm": 5.0}) for _ in range(2))
        step = tf.function(lambda gradients: dense.apply_gradients([(gradients[0], expected)]))
        made += [(stepper(sparse, w, "function"), w), (step, expected)]
    return made


#: Rows of successive steps, none of them twice.
ONCE = [[2], [4, 1, 0], [0, 5], [3], [5, 4, 3, 2, 1, 0]] * 2

_theirs = {}


def steps_of_tf_keras(case):
    """What tf_keras makes of a case, done once for all modes."""
    if case.desc not in _theirs:
        theirs, variables = original.build(case.options, {"w": numpy.linspace(-1, 1, 18).reshape(SHAPE)})
        step = stepper(theirs, variables["w"], "function")
        for indices, values in zip(ONCE, whole_numbers(ONCE), strict=True):
            step(indices, values / 4)
        _theirs[case.desc] = variables["w"].numpy()
    return _theirs[case.desc]


@modes
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(4)
def test_rows_that_occur_once_are_as_in_tf_keras(case, native, way):
    """Of duplicates tf_keras clips each before it sums them; and clipnorm it takes of the rows that are there."""
    mine, w = built(case.options, "float64", native=native)
    step = stepper(mine, w, way)
    for indices, values in zip(ONCE, whole_numbers(ONCE), strict=True):
        step(indices, values / 4)
    # Measured up to 4e-16.
    assert cases.deviation({"w": w.numpy()[None]}, {"w": steps_of_tf_keras(case)[None]}) <= 1e-13


@modes
@pytest.mark.matrix(2)
def test_sparse_and_dense_in_one_step(native, way):
    """One norm over both, whatever their order."""
    options, values = {"global_clipnorm": 1.0, "weight_decay": 0.5}, numpy.array([[1, 2, 3], [4, 5, 6]])
    arrays = {name: numpy.ones((2, 3), numpy.float32) for name in "abc"}
    (mixed, given_), (dense, expected) = (runs.build(options, arrays, native=native) for _ in range(2))
    gradient = tf.constant(values, tf.float32)
    few = tf.IndexedSlices(gradient, tf.constant([1, 1]), tf.constant([2, 3]))
    whole = tf.constant(to_dense([1, 1], values, (2, 3)), tf.float32)
    run = runs.WAYS[way](lambda: mixed.apply_gradients(zip((gradient, few, gradient), given_.values(), strict=True)))
    for _ in range(3):
        run()
        dense.apply_gradients(zip((gradient, whole, gradient), expected.values(), strict=True))
    assert_same_state(mixed, dense)
    for name, variable in expected.items():
        runs.assert_bits(given_[name].numpy(), variable.numpy())


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_eager_gradients_may_change_their_form(native):
    """Sparse with one type of indices, dense, sparse with another."""
    (mine, w), (dense, expected) = (built({"momentum": 0.5}, native=native) for _ in range(2))
    values = whole_numbers([[0, 1]])[0]
    whole, rows = tf.constant(to_dense([4, 4], values), tf.float32), tf.constant(values, tf.float32)
    few = [tf.IndexedSlices(rows, tf.constant([4, 4], dtype), tf.constant(SHAPE)) for dtype in ("int32", "int64")]
    for gradient in (few[0], whole, few[1], few[0]):
        mine.apply_gradients([(gradient, w)])
        dense.apply_gradients([(whole, expected)])
    runs.assert_bits(w.numpy(), expected.numpy())


@modes
def test_the_dense_shape_may_be_missing(native, way):
    (mine, w), (dense, expected) = (built({}, native=native) for _ in range(2))
    values = tf.constant(whole_numbers([[0, 1]])[0], tf.float32)
    runs.WAYS[way](lambda: mine.apply_gradients([(tf.IndexedSlices(values, tf.constant([4, 4])), w)]))()
    dense.apply_gradients([(tf.constant(to_dense([4, 4], values.numpy()), tf.float32), expected)])
    runs.assert_bits(w.numpy(), expected.numpy())


@modes
def test_what_a_tape_gives_for_an_embedding(native, way):
    table = tf.Variable(tf.reshape(tf.range(12.0), (6, 2)))
    optimizer = RMSprop(1.0, rho=1.0, epsilon=1.0, native=native)  # w - g

    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.embedding_lookup(table, ids))
        gradient = tape.gradient(loss, table)
        assert isinstance(gradient, tf.IndexedSlices)
        optimizer.apply_gradients([(gradient, table)])

    run = runs.WAYS[way](step)
    run(tf.constant([1, 1, 4]))
    run(tf.constant([0]))
    moved = numpy.array([1, 2, 0, 0, 1, 0])[:, None]
    # TensorFlow's quotient by a root is an ulp off on processors with AVX-512.
    near = {"rtol": 0, "atol": 0 if native else 2e-6}
    numpy.testing.assert_allclose(table.numpy(), numpy.arange(12.0).reshape(6, 2) - moved, **near)


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("dtype", [tf.int16, tf.uint8, tf.uint64], ids=lambda dtype: dtype.name)
def test_row_numbers_of_other_integer_types(dtype, native, way):
    found = []
    for numbers in (dtype, tf.int32):
        w, optimizer = tf.Variable(tf.ones((4, 3))), RMSprop(native=native)
        optimizer.build([w])
        rows = tf.cast(tf.constant([3, 0, 3]), numbers)
        runs.WAYS[way](lambda: optimizer.apply_gradients([(tf.IndexedSlices(tf.ones((3, 3)), rows), w)]))()  # noqa: B023
        found.append(w.numpy())
    runs.assert_bits(*found)
