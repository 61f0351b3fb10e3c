"""Copies: models with our optimizer are copied and pickled as with tf_keras's; an optimizer alone as little as that."""

import copy
import pickle

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}

X, Y = numpy.random.default_rng(0).normal(size=(2, 8, 3)).astype(numpy.float32)


def model():
    tf_keras.utils.set_random_seed(0)
    made = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    made.compile(RMSprop(0.5, momentum=0.9, use_ema=True, ema_overwrite_frequency=2), "mse")
    return made


def train(made, steps):
    for _ in range(steps):
        made.train_on_batch(X, Y[:, :2])
    return [variable.numpy() for variable in (*made.weights, *made.optimizer.variables)]


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("steps", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_a_copied_model_goes_on_as_the_model(way, steps):
    first = model()
    before = train(first, steps)
    second = COPIES[way](first)
    assert type(second.optimizer) is RMSprop
    expected = train(model(), steps + 3)
    for found in (train(second, 3), train(first, 3)):
        for one, other in zip(found, expected, strict=True):
            runs.assert_bits(one, other)
    assert before == [] or (before[0] != expected[0]).any()


@pytest.mark.parametrize("way", COPIES)
def test_an_optimizer_alone_is_not_copied_as_in_tf_keras(way):
    """It holds its strategy, and the variables that it was built for."""
    errors = set()
    for kind in (tf_keras.optimizers.RMSprop, RMSprop):
        optimizer = kind()
        optimizer.apply_gradients([(tf.ones(2), tf.Variable([1.0, 2.0]))])
        with pytest.raises((RuntimeError, TypeError)) as caught:
            COPIES[way](optimizer)
        errors.add((caught.type, str(caught.value)))
    assert len(errors) == 1


def test_a_shallow_copy_shares_everything():
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0), tf.Variable([0.0])
    optimizer.apply_gradients([(tf.constant([-1.0]), w)])
    other = copy.copy(optimizer)
    for one in (other, optimizer, other):
        one.apply_gradients([(tf.constant([-1.0]), w)])
    assert (w.numpy(), optimizer.iterations.numpy(), other.iterations.numpy()) == (4, 4, 4)


def test_a_fresh_one_comes_from_the_config():
    optimizer = RMSprop(0.25, momentum=0.5, native=False)
    optimizer.build([tf.Variable([1.0])])
    fresh = RMSprop.from_config(optimizer.get_config())
    assert fresh.get_config() == optimizer.get_config()
    assert len(fresh.variables) == 1
