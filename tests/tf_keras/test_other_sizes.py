"""What an operation of ours gets is compared with what it was made for: nothing is read or written past an end.

A graph's shapes are promises. `set_shape` and the operations beneath `tf.Variable` can break them, and what is in an
optimizer's lists may be replaced.
"""

import numpy
import pytest
import runs
import tensorflow as tf

from rmsprop._tensorflow import native as _native
from rmsprop.tf_keras import RMSprop

refused = pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=r"shape|type")

#: Shapes that a variable of (64, 3) is not, those of as many numbers among them.
SHAPES = [(0,), (), (3,), (1, 3), (64, 2), (3, 64), (192,), (64, 3, 1), (64, 3000)]

shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
clips = pytest.mark.parametrize(
    "options", [{}, {"global_clipnorm": 1.0}, {"clipnorm": 1.0}], ids=["", "global", "each"]
)


@pytest.fixture(params=["one bucket", "several"])
def buckets(request, monkeypatch):
    if request.param == "several":
        monkeypatch.setattr(_native, "PART_BYTES", 1)


def made(**options):
    variables = [tf.Variable(tf.ones(shape)) for shape in ((64, 3), (5,))]
    optimizer = RMSprop(**({"momentum": 0.9, "use_ema": True} | options))
    optimizer.build(variables)
    return optimizer, variables


def stepping(way, optimizer, variables):
    gradients = [tf.ones_like(variable) for variable in variables]
    return runs.WAYS[way](lambda: optimizer.apply_gradients(zip(gradients, variables, strict=True)))


def untold(value, shape):
    """A tensor of which the graph believes that it has another shape."""
    found = tf.numpy_function(lambda: value, [], tf.as_dtype(value.dtype))
    found.set_shape(shape)
    return found


def overwrite(variable, value):
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


@pytest.mark.usefixtures("buckets")
@shapes
@clips
@pytest.mark.parametrize("told", [(64, 3), None], ids=["told another", "told none"])
@pytest.mark.matrix
def test_a_gradient_of_another_shape(told, options, shape):
    optimizer, (w, b) = made(**options)
    value = numpy.ones(shape, numpy.float32)
    step = tf.function(lambda: optimizer.apply_gradients([(untold(value, told), w), (tf.ones(5), b)]))
    with refused:
        step()
    assert (w.numpy() == 1).all()


@shapes
@pytest.mark.parametrize("place", [0, 2, 4, 6], ids=["variable", "average", "velocity", "momentum"])
@pytest.mark.matrix
def test_a_variable_or_slot_that_has_got_another_shape(place, shape):
    """Before and after a function that knows it is traced."""
    optimizer, (w, b) = made()
    step, eager = (stepping(way, optimizer, [w, b]) for way in ("function", "eager"))
    step()
    owner = [w, *optimizer.variables][place]
    assert owner.shape == (64, 3)
    kept = owner.numpy()
    overwrite(owner, tf.zeros(shape))
    for run in (step, eager):
        with refused:
            run()
    overwrite(owner, tf.constant(kept))
    step()
    assert optimizer.iterations.numpy() == 2


def test_the_text_is_the_same_eagerly():
    """Compiled code writes it in a function, and Python eagerly, operation by operation."""
    optimizer, (w, b) = made()
    step, eager = (stepping(way, optimizer, [w, b]) for way in ("function", "eager"))
    step()
    eager()
    overwrite(w, tf.zeros((3, 7, 1)))
    with pytest.raises(tf.errors.InvalidArgumentError) as in_function:
        step()
    optimizer.rho = 0.5  # options that change may do so at every step, so the next ones are not traced
    with pytest.raises(tf.errors.InvalidArgumentError) as eagerly:
        eager()
    text = "is of the type float32 and the shape [3, 7, 1], not float32 and [64, 3], as it was when the step was traced"
    assert text in in_function.value.message
    assert eagerly.value.message in in_function.value.message


@pytest.mark.parametrize("way", ["eager", "function"])
@shapes
def test_slots_of_another_shape(shape, way):
    """As those that begin as a variable without a value would have."""
    optimizer, (w, b) = made()
    optimizer._velocities[0] = tf.Variable(tf.zeros(shape))
    step = stepping(way, optimizer, [w, b])
    with pytest.raises(ValueError, match="velocity"):
        step()
    assert (w.numpy() == 1).all()
    assert optimizer.iterations.numpy() == 0


@pytest.mark.parametrize("way", ["eager", "function"])
def test_slots_replaced_by_others(way):
    """Eager steps go on with the new ones; a function, as any, with those that it was traced with."""
    found = []
    for optimizer, variables in (made(), made()):
        step = stepping(way, optimizer, variables)
        step()
        if not found:
            old = optimizer._velocities[0]
            optimizer._velocities[0] = tf.Variable(old)
            if way == "eager":
                overwrite(old, tf.zeros((1,)))
        step()
        found.append(variables[0].numpy())
    numpy.testing.assert_array_equal(*found)


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.float64])
def test_slots_of_another_type(dtype, way):
    """Nothing is taken for what it is not: traced operations cast."""
    found = []
    for optimizer, variables in (made(), made()):
        if not found:
            optimizer._velocities[0] = tf.Variable(tf.zeros((64, 3), dtype))
        step = stepping(way, optimizer, variables)
        for _ in range(3):
            step()
        found.append(variables[0].numpy())
    numpy.testing.assert_allclose(*found, rtol=1e-2)


@pytest.mark.usefixtures("buckets")
@clips
@pytest.mark.parametrize(
    ("values", "rows"),
    [((2, 3), [1]), ((1, 3), [1, 2]), ((2, 4), [1, 2]), ((6,), [1, 2]), ((2, 3, 1), [1, 2]), ((2, 3), [[1, 2]])],
    ids=str,
)
@pytest.mark.matrix
def test_rows_that_do_not_fit_their_numbers(values, rows, options):
    optimizer, (w, b) = made(**options)
    values, rows = numpy.ones(values, numpy.float32), numpy.array(rows)

    @tf.function
    def step():
        few = tf.IndexedSlices(untold(values, (None, 3)), untold(rows, (None,)), tf.constant([64, 3]))
        optimizer.apply_gradients([(few, w), (tf.ones(5), b)])

    with pytest.raises(tf.errors.InvalidArgumentError):
        step()
    assert (w.numpy() == 1).all()


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("dtype", [tf.int8, tf.int16, tf.int32, tf.uint8, tf.int64], ids=lambda dtype: dtype.name)
@pytest.mark.matrix
def test_counts_of_any_integer_type(dtype, way, native):
    """A step counter of one's own. It decides when averages overwrite."""
    found = []
    for own in (dtype, None):
        w = tf.Variable([1.0])
        optimizer = RMSprop(0.1, use_ema=True, ema_overwrite_frequency=3, native=native)
        if own is not None:
            optimizer.iterations = tf.Variable(1, dtype=own)
        else:
            optimizer.iterations.assign(1)
        step = stepping(way, optimizer, [w])
        found.append([(step(), w.numpy())[1] for _ in range(8)])
        assert optimizer.iterations.numpy() == 9
        assert optimizer.iterations.dtype == (own or tf.int64)
    numpy.testing.assert_array_equal(*found)
