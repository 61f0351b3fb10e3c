"""What the trainer of Keras on JAX does with an optimizer: it reads the state, and hands over values without names."""

import keras
import numpy
import pytest

from rmsprop.keras import RMSprop

_X, _Y = numpy.ones((8, 4), "float32"), numpy.zeros((8, 1), "float32")


def _model(optimizer):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("step", ["fit", "train_on_batch"])
@pytest.mark.parametrize("wrap", [lambda one: one, keras.optimizers.LossScaleOptimizer])
def test_a_second_model_does_not_go_on_with_the_firsts_state(step, wrap):
    optimizer = wrap(RMSprop(0.01, momentum=0.9))
    first, second = _model(optimizer), _model(optimizer)
    first.train_on_batch(_X, _Y)
    before = [one.numpy() for one in (*second.trainable_variables, *optimizer.variables)]
    with pytest.raises(ValueError, match="is not among those the optimizer was built for"):
        getattr(second, step)(_X, _Y)
    for one, value in zip((*second.trainable_variables, *optimizer.variables), before, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), value)
    first.fit(_X, _Y, verbose=0)  # which goes on


def test_a_second_model_may_be_used_for_all_but_training():
    optimizer = RMSprop(0.01)
    first, second = _model(optimizer), _model(optimizer)
    first.fit(_X, _Y, verbose=0)
    second.predict(_X, verbose=0)
    second.evaluate(_X, _Y, verbose=0)


class _Fails(keras.layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), name="w")

    def call(self, x, training=False):
        if training:
            raise ArithmeticError("this is the error")
        return keras.ops.sum(x * self.w, -1, keepdims=True)


def test_an_error_while_fit_traces_is_not_hidden_by_averages():
    model = keras.Sequential([keras.Input((4,)), _Fails()])
    model.compile(RMSprop(0.01, use_ema=True), "mse")
    with pytest.raises(ArithmeticError, match="this is the error"):
        model.fit(_X, _Y, verbose=0)
