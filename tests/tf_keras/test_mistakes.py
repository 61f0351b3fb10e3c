"""Mistakes of somebody who comes from tf_keras's older optimizers: the error names them and the remedy."""

import numpy
import pytest
import tensorflow as tf
import tf_keras

from rmsprop.schedules import ExponentialDecay
from rmsprop.tf_keras import RMSprop


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"decay": 1e-3}, "decay=0.001: use rho.*Keras's old decay.*InverseTimeDecay"),
        ({"momentun": 0.9}, r"momentun=0.9: did you mean momentum\? the arguments are .*native"),
        ({"axis_name": "rows"}, "axis_name='rows': the arguments are learning_rate, .*name, mesh, .*native$"),
    ],
    ids=str,
)
def test_words(words, match):
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        RMSprop(**words)


def test_an_entry_of_a_config_that_is_none_lists_those_of_tf_keras():
    with pytest.raises(TypeError, match="axis_name='rows': the arguments are .*, mesh, native$"):
        RMSprop.from_config({"axis_name": "rows"})


@pytest.mark.parametrize("gradient", [lambda: tf.constant([1.0]), lambda: None], ids=["a tensor", "None"])
@pytest.mark.parametrize("built", [False, True])
def test_swapped_pairs(gradient, built):
    w, optimizer = tf.Variable([1.0]), RMSprop()
    if built:
        optimizer.build([w])
    with pytest.raises(TypeError, match=r"\(variable, gradient\) at place 0: the gradient comes first"):
        optimizer.apply_gradients([(w, gradient())])
    optimizer.apply_gradients([(w, w)])  # whose gradient is the variable itself
    assert int(optimizer.iterations) == 1


def test_a_model_is_no_learning_rate():
    with pytest.raises(TypeError, match="is a model, not a number, or a schedule, or a function"):
        RMSprop(tf_keras.Sequential([tf_keras.layers.Dense(1)]))


def test_a_module_may_be_a_schedule():
    class Halved(tf.Module):
        def __init__(self):
            super().__init__()
            self.first = tf.Variable(0.5)

        def __call__(self, step):
            return self.first / (1 + tf.cast(step, tf.float32))

    w, v = tf.Variable([1.0]), tf.Variable([1.0])
    one, other = RMSprop(Halved()), RMSprop(lambda step: 0.5 / (1 + step))
    for _ in range(3):
        one.apply_gradients([(tf.constant([1.0]), w)])
        other.apply_gradients([(tf.constant([1.0]), v)])
    assert w.numpy() == v.numpy() != 1


@pytest.mark.parametrize(
    "schedule", [ExponentialDecay(0.1, 10, 0.5), tf_keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)]
)
def test_a_callback_that_sets_the_rate_over_a_schedule(schedule):
    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    model.compile(RMSprop(schedule), "mse")
    x, y = numpy.ones((2, 2), "float32"), numpy.ones((2, 1), "float32")
    match = r"learning_rate=.*0\.05.* cannot be set while the schedule .*ExponentialDecay.* LearningRateScheduler"
    with pytest.raises(TypeError, match=match):
        model.fit(x, y, verbose=0, callbacks=[tf_keras.callbacks.LearningRateScheduler(lambda epoch: 0.05)])
    with pytest.raises(TypeError, match="ReduceLROnPlateau and the like construct the optimizer with a number"):
        model.optimizer.learning_rate.assign(0.05)
    model.fit(x, y, verbose=0)
