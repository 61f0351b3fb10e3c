"""Learning rates that depend on the step, in configs: tf_keras's schedules, ours, one's own, and functions."""

import json

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import assert_ours, compiled, train

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop
theirs = tf_keras.optimizers.schedules


def _both_ways(optimizer, **arguments):
    return RMSprop.from_config(json.loads(json.dumps(optimizer.get_config())), **arguments)


BUILT_IN = {
    "ExponentialDecay": {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.5, "staircase": True},
    "PiecewiseConstantDecay": {"boundaries": [2, 4], "values": [0.5, 0.25, 0.125]},
    "PolynomialDecay": {"initial_learning_rate": 0.5, "decay_steps": 8, "power": 2.0},
    "InverseTimeDecay": {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.5},
    "CosineDecay": {"initial_learning_rate": 0.25, "decay_steps": 8, "warmup_target": 0.5, "warmup_steps": 2},
    "CosineDecayRestarts": {"initial_learning_rate": 0.5, "first_decay_steps": 4},
}


def _rates(optimizer):
    """The learning rates of the next ten steps."""
    rates = []
    for step in range(10):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return rates


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("module", [theirs, schedules])
def test_schedules_come_back(name, module):
    optimizer = RMSprop(getattr(module, name)(**BUILT_IN[name]))
    again = _both_ways(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert type(again._options.learning_rate) is getattr(module, name)
    assert _rates(again) == _rates(optimizer)


@pytest.mark.parametrize("name", BUILT_IN)
def test_schedules_go_both_ways_with_the_original(name):
    """One of ours becomes tf_keras's there; they agree as tests/tensorflow/test_schedules.py says."""
    config = BUILT_IN[name]
    from_original = RMSprop.from_config(Original(getattr(theirs, name)(**config)).get_config())
    assert type(from_original._options.learning_rate) is getattr(theirs, name)
    for module in (theirs, schedules):
        optimizer = RMSprop(getattr(module, name)(**config))
        to_original = Original.from_config(optimizer.get_config())
        assert type(to_original._learning_rate) is getattr(theirs, name)
        rates = [float(to_original._learning_rate(step)) for step in range(10)]
        # Measured 0 but for CosineDecay and CosineDecayRestarts of ours in float32: 6.0e-8.
        numpy.testing.assert_allclose(_rates(optimizer), rates, rtol=0, atol=3e-7)


class Warmup(schedules.LearningRateSchedule):
    """A class of one's own on ours."""

    def __init__(self, peak):
        self.peak = peak

    def __call__(self, step):
        return self.peak * min(step / 4, 1.0)

    def get_config(self):
        return {"peak": self.peak}


class TheirWarmup(theirs.LearningRateSchedule):
    """A class of one's own on tf_keras's."""

    def __init__(self, peak):
        self.peak = peak

    def __call__(self, step):
        return self.peak * tf.minimum(tf.cast(step, tf.float32) / 4, 1.0)

    def get_config(self):
        return {"peak": self.peak}


@tf_keras.saving.register_keras_serializable("tests")
class Registered(Warmup):
    """One that tf_keras can find by itself."""


class Homonym(schedules.LearningRateSchedule):
    """One that has its name, below, and its arguments from tf_keras's."""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate):
        self.rate, self.steps, self.decay = initial_learning_rate, decay_steps, decay_rate

    def __call__(self, step):
        return self.rate

    def get_config(self):
        return {"initial_learning_rate": self.rate, "decay_steps": self.steps, "decay_rate": self.decay}


Homonym.__name__ = "ExponentialDecay"


@pytest.mark.parametrize("kind", [Warmup, TheirWarmup])
def test_a_schedule_class_of_one_s_own(kind):
    optimizer, objects = RMSprop(kind(0.5)), {kind.__name__: kind}
    written = tf_keras.optimizers.serialize(optimizer)
    found = [_both_ways(optimizer, custom_objects=objects), tf_keras.optimizers.deserialize(written, objects)]
    with tf_keras.saving.custom_object_scope(objects):
        found.append(tf_keras.optimizers.deserialize(written))
    for again in found:
        assert type(again._options.learning_rate) is kind
        assert _rates(again) == _rates(optimizer) == [0, 0.125, 0.25, 0.375] + [0.5] * 6


@pytest.mark.parametrize("kind", [Warmup, TheirWarmup])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.matrix(2)
def test_a_schedule_class_of_one_s_own_in_a_model(kind, name, tmp_path):
    model = compiled(RMSprop(kind(0.5)))
    train(model, 0, 2)
    model.save(tmp_path / name)
    again = tf_keras.models.load_model(tmp_path / name, custom_objects={kind.__name__: kind}).optimizer
    assert_ours(again)
    assert type(again._options.learning_rate) is kind
    assert again.learning_rate.numpy() == 0.25


@pytest.mark.parametrize(("kind", "error"), [(Warmup, ValueError), (TheirWarmup, TypeError)])
def test_a_schedule_class_that_is_not_known(kind, error):
    """A TypeError is what tf_keras says of its own kind."""
    with pytest.raises(error, match=kind.__name__):
        _both_ways(RMSprop(kind(0.5)))


def test_a_schedule_class_named_like_one_of_tf_keras():
    """It is not taken for that, although the config would fit."""
    optimizer = RMSprop(Homonym(0.5, 1, 0.5))
    with pytest.raises(ValueError, match="ExponentialDecay"):
        _both_ways(optimizer)
    again = _both_ways(optimizer, custom_objects={"ExponentialDecay": Homonym})
    assert type(again._options.learning_rate) is Homonym


def test_a_schedule_class_that_is_registered():
    again = _both_ways(RMSprop(Registered(0.5)))
    assert type(again._options.learning_rate) is Registered


@pytest.mark.parametrize("rate", [lambda step: 0.5, lambda: 0.5])
def test_a_plain_function_cannot_be_written(rate):
    with pytest.raises(ValueError, match=r"learning_rate=.*plain function"):
        RMSprop(rate).get_config()
