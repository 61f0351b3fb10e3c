"""A step counter of the user's own: any type of integers, as tf_keras's own optimizer takes it."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OPTIONS = {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3}
STEPS = 7

natives = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
types = pytest.mark.parametrize("dtype", TYPES)


def counted(dtype, start=0, kind=RMSprop, **options):
    """An optimizer with such a counter, and a variable."""
    optimizer = kind(**OPTIONS | options)
    if dtype is not None:
        optimizer.iterations = tf.Variable(start, dtype=dtype, trainable=False)
    return optimizer, tf.Variable([10.0, -3.0, 0.5])


def move(optimizer, w, steps=STEPS, way="eager"):
    step = runs.WAYS[way](lambda: optimizer.apply_gradients([(w * 1.0, w)]))
    for _ in range(steps):
        step()
    return [w.numpy(), *(one.numpy() for one in optimizer.variables[1:])]


@natives
@types
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.matrix(10)
def test_steps_are_those_of_the_usual_counter(way, dtype, native):
    (optimizer, w), (usual, v) = counted(dtype, native=native), counted(None, native=native)
    for found, expected in zip(move(optimizer, w, way=way), move(usual, v, way=way), strict=True):
        runs.assert_bits(found, expected)
    assert (optimizer.iterations.dtype, optimizer.iterations.numpy()) == (dtype, STEPS)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_under_xla(dtype):
    (optimizer, w), (usual, v) = counted(dtype), counted(None)
    for found, expected in zip(move(optimizer, w, way="xla"), move(usual, v, way="xla"), strict=True):
        runs.assert_bits(found, expected)


RATES = {
    "ours": lambda: schedules.ExponentialDecay(0.1, 4, 0.5),
    "tf_keras's": lambda: tf_keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.5),
    "function": lambda: lambda step: 0.1 * 0.5 ** (step / 4),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8"])
@pytest.mark.matrix
def test_schedules_count_by_it(dtype, way, rate):
    (optimizer, w), (usual, v) = (counted(one, learning_rate=RATES[rate]()) for one in (dtype, None))
    for found, expected in zip(move(optimizer, w, way=way), move(usual, v, way=way), strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-6)
    assert optimizer.learning_rate.numpy() == usual.learning_rate.numpy()


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_it_is_saved_and_loaded(dtype, tmp_path):
    """In tf_keras's own the list of variables goes on with the counter that was replaced."""
    optimizer, w = counted(dtype, 40)
    move(optimizer, w)
    assert optimizer.variables[0] is optimizer.iterations
    store = {}
    optimizer.save_own_variables(store)
    path = tf.train.Checkpoint(optimizer=optimizer).write(str(tmp_path / "checkpoint"))
    loads = {
        "file": lambda other: other.load_own_variables(store),
        "arrays": lambda other: other.set_weights([one.numpy() for one in optimizer.variables]),
        "checkpoint": lambda other: tf.train.Checkpoint(optimizer=other).read(path).assert_existing_objects_matched(),
    }
    expected = None
    for load in loads.values():
        other, v = counted(dtype)
        other.build([v])
        load(other)
        v.assign(w)
        assert other.iterations.numpy() == 40 + STEPS
        found = move(other, v)
        expected = expected or found
        for one, two in zip(found, expected, strict=True):
            runs.assert_bits(one, two)


def test_a_checkpoint_goes_into_the_original_and_comes_back(tmp_path):
    kinds = [RMSprop, tf_keras.optimizers.RMSprop, RMSprop]
    for number, kind in enumerate(kinds):
        optimizer, w = counted("int32", kind=kind)
        checkpoint = tf.train.Checkpoint(optimizer=optimizer, w=w)
        if number:
            checkpoint.read(str(tmp_path / "checkpoint"))
        move(optimizer, w, 2)
        checkpoint.write(str(tmp_path / "checkpoint"))
    other, v = counted(None)
    for found, expected in zip(move(other, v, 6), [w, *optimizer.variables[1:]], strict=True):
        numpy.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)
    assert optimizer.iterations.numpy() == 6


def test_a_number_is_no_counter():
    optimizer = RMSprop()
    with pytest.raises(TypeError, match=r"iterations=5 is no variable: iterations\.assign"):
        optimizer.iterations = 5
    assert optimizer.iterations.numpy() == 0
    optimizer.build([tf.Variable(1.0)])
    with pytest.raises(RuntimeError, match="iterations"):
        optimizer.iterations = tf.Variable(0)
