"""Subnormal numbers on TensorFlow's threads, which take them for zero: our kernels keep them."""

import numpy
import pytest
import tensorflow as tf
from arrays import numbers

import rmsprop
from rmsprop.tf_keras import RMSprop

SIZE = 16384 * 64


@pytest.mark.parametrize("size", [5, SIZE])
@pytest.mark.parametrize("options", [{"epsilon": 1e-40, "learning_rate": 1e-3}, {"clipnorm": 1e-17, "momentum": 0.5}])
def test_native_steps_make_the_bits_of_numpy(options, size):
    gradient = numbers(size) * numpy.float32(1e-19)
    for traced in (False, True, True):
        w, apart = tf.Variable(tf.zeros(size)), numpy.zeros(size, numpy.float32)
        optimizer, other = RMSprop(native=True, **options), rmsprop.RMSprop(**options)
        optimizer.build([w])
        step = optimizer.apply_gradients
        step = tf.function(step) if traced else step
        for _ in range(2):
            step([(tf.constant(gradient), w)])
            other.apply_gradients([(gradient, apart)])
        velocity = optimizer.variables[-1 if "momentum" not in options else -2].numpy()
        assert (other.variables["velocity/0"].view(numpy.int32) != 0).mean() > 0.9
        numpy.testing.assert_array_equal(velocity.view(numpy.int32), other.variables["velocity/0"].view(numpy.int32))
        numpy.testing.assert_array_equal(w.numpy().view(numpy.int32), apart.view(numpy.int32))
