"""`aggregate_gradients` of a subclass, which tf_keras invites: the gradients of every step pass through it."""

import pytest
import runs
import tensorflow as tf
import tf_keras
from keras_models import X, Y, compiled

from rmsprop.tf_keras import RMSprop

ways = pytest.mark.parametrize("way", ["eager", "function", "xla"])


def doubling(base):
    class Doubling(base):
        calls = 0

        def aggregate_gradients(self, grads_and_vars):
            type(self).calls += 1
            return ((gradient * 2, variable) for gradient, variable in grads_and_vars)

    return Doubling


def moved(optimizer, gradient, way, **arguments):
    w = tf.Variable([1.0, 2.0])
    optimizer.build([w])
    runs.WAYS[way](lambda: optimizer.apply_gradients([(tf.constant(gradient), w)], **arguments))()
    return w.numpy()


OPTIONS = {"learning_rate": 0.5, "rho": 1.0, "epsilon": 1.0}  # w - lr * g


@ways
def test_it_is_called(way):
    kind = doubling(RMSprop)
    runs.assert_bits(moved(kind(**OPTIONS), [1.0, -1.0], way), moved(RMSprop(**OPTIONS), [2.0, -2.0], way))
    assert kind.calls == 1


@ways
@pytest.mark.parametrize(
    "arguments", [{"skip_gradients_aggregation": True}, {"experimental_aggregate_gradients": False}]
)
def test_it_is_left_out_if_that_is_wanted(way, arguments):
    kind = doubling(RMSprop)
    found = moved(kind(**OPTIONS), [1.0, -1.0], way, **arguments)
    runs.assert_bits(found, moved(RMSprop(**OPTIONS), [1.0, -1.0], way))
    assert kind.calls == 0


def test_one_that_is_set_on_the_optimizer():
    optimizer = RMSprop(**OPTIONS)
    optimizer.aggregate_gradients = lambda pairs: [(gradient * 0, variable) for gradient, variable in pairs]
    assert moved(optimizer, [1.0, -1.0], "eager").tolist() == [1.0, 2.0]


def test_it_may_leave_variables_out():
    class First(RMSprop):
        def aggregate_gradients(self, grads_and_vars):
            return grads_and_vars[:1]

    one, other = tf.Variable(1.0), tf.Variable(1.0)
    First(**OPTIONS).apply_gradients([(tf.constant(1.0), one), (tf.constant(1.0), other)])
    assert (one.numpy(), other.numpy()) == (0.5, 1.0)


def test_what_it_gives_is_checked():
    class Wrong(RMSprop):
        def aggregate_gradients(self, grads_and_vars):
            return [gradient for gradient, _ in grads_and_vars]

    with pytest.raises(TypeError, match="no pair of a gradient and its variable"):
        moved(Wrong(), [1.0, -1.0], "eager")


@pytest.mark.parametrize("base", [RMSprop, pytest.param(tf_keras.optimizers.RMSprop, marks=pytest.mark.slow)])
def test_fit(base):
    kind = doubling(base)
    model = compiled(kind(**OPTIONS))
    before = model.get_weights()[-1]
    model.fit(X[0], Y[0], batch_size=len(X[0]), verbose=0)
    usual = compiled(RMSprop(**OPTIONS | {"learning_rate": 1.0}))
    usual.fit(X[0], Y[0], batch_size=len(X[0]), verbose=0)
    assert model.get_weights()[-1] == pytest.approx(usual.get_weights()[-1], rel=1e-5)
    assert model.get_weights()[-1] != before


@pytest.mark.parametrize("base", [RMSprop, tf_keras.optimizers.RMSprop])
def test_a_strategy_calls_it_once_for_each_replica(base):
    strategy, kind = tf.distribute.MirroredStrategy(["CPU:0"]), doubling(base)
    with strategy.scope():
        w, optimizer = tf.Variable([1.0, 2.0]), kind(**OPTIONS)
        optimizer.build([w])
    step = tf.function(lambda: strategy.run(lambda: optimizer.apply_gradients([(tf.constant([1.0, -1.0]), w)])))
    step()
    assert kind.calls == 1
    assert w.numpy() == pytest.approx([0.0, 3.0])
