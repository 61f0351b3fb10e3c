"""Sparse gradients with rows that are not there: an error, and nothing has moved."""

import numpy
import pytest
import runs
import tensorflow as tf

from rmsprop._tensorflow import native as _native
from rmsprop.tf_keras import RMSprop

EVERYTHING = {"momentum": 0.9, "centered": True, "use_ema": True, "weight_decay": 0.5}

modes = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
ways = pytest.mark.parametrize("way", ["eager", "function"])


def built(options, native):
    arrays = {name: numpy.ones((4, 3), numpy.float32) for name in "abc"}
    return runs.build(options, arrays, native=native)


def stepper(optimizer, variables, way):
    """A step in which the second of three variables has a sparse gradient."""

    def step(rows):
        dense = tf.ones((4, 3))
        few = tf.IndexedSlices(tf.ones((2, 3)), rows, tf.constant([4, 3]))
        return optimizer.apply_gradients(zip((dense, few, dense), variables.values(), strict=True))

    return runs.WAYS[way](step)


def everything(optimizer, variables):
    return [variable.numpy() for variable in (*variables.values(), *optimizer.variables)]


@modes
@ways
@pytest.mark.parametrize("rows", [[0, 4], [-1, 0], [2**31 - 1, 0]], ids=str)
@pytest.mark.parametrize(
    "clip", [{}, {"global_clipnorm": 1.0}, {"clipnorm": 1.0}], ids=["", "global_clipnorm", "clipnorm"]
)
@pytest.mark.matrix
def test_a_row_that_is_not_there_changes_nothing(rows, clip, native, way):
    optimizer, variables = built(EVERYTHING | clip, native)
    step = stepper(optimizer, variables, way)
    step(tf.constant([0, 3]))
    before = everything(optimizer, variables)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"variable .b:0"):
        step(tf.constant(rows))
    for array, now in zip(before, everything(optimizer, variables), strict=True):
        runs.assert_bits(now, array)
    # And it goes on.
    assert step(tf.constant([0, 3])).numpy() == 2


@ways
def test_nothing_moves_either_where_a_step_has_several_buckets(way, monkeypatch):
    monkeypatch.setattr(_native, "PART_BYTES", 100)
    optimizer, variables = built(EVERYTHING, True)
    step = stepper(optimizer, variables, way)
    step(tf.constant([0, 3]))
    before = everything(optimizer, variables)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"variable 'b:0'.*4"):
        step(tf.constant([0, 4]))
    for array, now in zip(before, everything(optimizer, variables), strict=True):
        runs.assert_bits(now, array)


@modes
@ways
def test_rows_and_values_of_different_number(native, way):
    optimizer, variables = built({}, native)
    w = variables["a"]

    def step(rows, values):
        optimizer.apply_gradients([(tf.IndexedSlices(values, rows, tf.constant([4, 3])), w)])

    specs = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 3])]
    run = step if way == "eager" else tf.function(step, input_signature=specs)
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        run(tf.constant([0, 1]), tf.ones((3, 3)))
    runs.assert_bits(w.numpy(), numpy.ones((4, 3), numpy.float32))


@modes
def test_rows_of_another_length_are_refused_at_once(native):
    optimizer, variables = built({}, native)
    gradient = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([0]), tf.constant([4, 2]))
    with pytest.raises(ValueError, match=r"variable 'a:0' has the shape \(2,\), not \(3,\)"):
        optimizer.apply_gradients([(gradient, variables["a"])])
    assert optimizer.iterations.numpy() == 0


@modes
def test_rows_of_a_variable_without_axes(native):
    optimizer, w = RMSprop(native=native), tf.Variable(1.0, name="w")
    gradient = tf.IndexedSlices(tf.ones(1), tf.constant([0]))
    with pytest.raises(ValueError, match=r"the gradient of variable 'w:0' has rows, and the variable has no axis"):
        optimizer.apply_gradients([(gradient, w)])


@modes
def test_row_numbers_that_are_not_whole(native):
    optimizer, variables = built({}, native)
    gradient = tf.IndexedSlices(tf.ones((1, 3)), tf.constant([0.0]), tf.constant([4, 3]))
    with pytest.raises(TypeError, match=r"row numbers of the gradient of variable 'a:0' have the type float32"):
        optimizer.apply_gradients([(gradient, variables["a"])])
    assert optimizer.iterations.numpy() == 0


@ways
def test_the_name_of_a_variable_may_be_long(way):
    """Its beginning is told, whatever letters it has."""
    w, optimizer = tf.Variable(tf.ones((4, 3)), name="é" * 600), RMSprop()
    optimizer.build([w])
    step = runs.WAYS[way](lambda rows: optimizer.apply_gradients([(tf.IndexedSlices(tf.ones((1, 3)), rows), w)]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="é{200}...': indices holds 7, which is not from 0 to 3"):
        step(tf.constant([7]))


@modes
@ways
def test_a_dense_shape_that_is_not_the_variables(native, way):
    """The row numbers count, as in tf_keras; what the gradient says of its whole shape does not."""
    optimizer, variables = built({}, native)
    gradient = tf.IndexedSlices(tf.ones((1, 3)), tf.constant([0]), tf.constant([1, 3]))
    runs.WAYS[way](lambda: optimizer.apply_gradients([(gradient, variables["a"])]))()
    assert (variables["a"].numpy() != 1).any(1).tolist() == [True, False, False, False]
