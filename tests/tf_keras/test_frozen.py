"""Models of which little or nothing is trained: `fit` ends as with tf_keras's own optimizer."""

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import BATCH, X, Y, compiled, mlp

from rmsprop.tf_keras import RMSprop

OPTIONS = {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.5}


def fit(model):
    model.fit(X[0], Y[0], batch_size=BATCH // 2, verbose=0, shuffle=False)
    return [one.numpy() for one in model.weights]


def model_of(frozen, kind=RMSprop, **options):
    model = mlp()
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
    return compiled(kind(**OPTIONS | options), model)


@pytest.mark.parametrize("options", [{}, {"use_ema": False}, {"native": False}], ids=str)
def test_nothing_is_trained(options):
    model = model_of(["first", "last"], **options)
    before = [one.numpy() for one in model.weights]
    for found, expected in zip(fit(model), before, strict=True):
        numpy.testing.assert_array_equal(found, expected)
    assert model.optimizer.iterations.numpy() == 0
    assert len(model.optimizer.variables) == 1


def test_a_part_is_trained():
    found, expected = (fit(model_of(["first"], kind)) for kind in (RMSprop, tf_keras.optimizers.RMSprop))
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_what_is_unfrozen_before_the_first_step_is_trained():
    """The optimizer has been through a `fit` without anything to do."""
    model = model_of(["first", "last"])
    fit(model)
    for layer in model.layers:
        layer.trainable = True
    model.compile(model.optimizer, "mse")
    for one, other in zip(fit(model), fit(model_of([])), strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_what_is_frozen_later_stays():
    model = model_of([])
    fit(model)
    model.get_layer("first").trainable = False
    model.compile(model.optimizer, "mse")
    before = model.get_layer("first").get_weights()
    fit(model)
    for one, other in zip(model.get_layer("first").get_weights(), before, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_what_is_unfrozen_later_is_unknown():
    model = model_of(["first"])
    fit(model)
    before = [one.numpy() for one in model.weights]
    model.get_layer("first").trainable = True
    model.compile(model.optimizer, "mse")
    with pytest.raises(ValueError, match="first/kernel:0' is not among those the optimizer was built for"):
        fit(model)
    for one, other in zip(model.weights, before, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other)


def test_one_optimizer_is_for_one_model():
    """Another model of the same shapes does not go on with its state."""
    model = model_of([])
    fit(model)
    other = compiled(model.optimizer, mlp(seed=1))
    with pytest.raises(ValueError, match="is not among those the optimizer was built for"):
        fit(other)


@pytest.mark.parametrize("variables", [[], (), iter([])], ids=["list", "tuple", "iterator"])
def test_no_variables_are_finalized(variables):
    RMSprop(**OPTIONS).finalize_variable_values(variables)


def test_variables_without_averages_are_not_finalized():
    with pytest.raises(ValueError, match=r"call build\(var_list\) first"):
        RMSprop(**OPTIONS).finalize_variable_values([tf.Variable(1.0)])
    RMSprop().finalize_variable_values([tf.Variable(1.0)])
