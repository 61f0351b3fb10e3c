"""Configs: ours and the original's, each read by both."""

import json

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import EVERYTHING, assert_ours, compiled, mlp, train

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop
theirs = tf_keras.optimizers.schedules

#: Each option with a value that is not its default.
OPTIONS = {
    "learning_rate": 0.1, "rho": 0.95, "momentum": 0.9, "epsilon": 1e-3, "centered": True, "weight_decay": 0.004,
    "clipnorm": 1.5, "clipvalue": 0.5, "global_clipnorm": 40.0, "use_ema": True, "ema_momentum": 0.9,
    "ema_overwrite_frequency": 7, "jit_compile": False, "name": "mine",
}  # fmt: skip
OURS = {"initial_velocity": 1.0, "slot_dtype": "float64", "native": False}


#: What is compared with the original.
SHARED = [{}, EVERYTHING, {name: OPTIONS[name] for name in ("rho", "epsilon", "clipvalue", "name")}]


def _both_ways(optimizer, **arguments):
    return RMSprop.from_config(json.loads(json.dumps(optimizer.get_config())), **arguments)


@pytest.mark.parametrize("name", [*OPTIONS, *OURS])
def test_every_option_comes_back_as_it_was_written(name):
    value = (OPTIONS | OURS)[name]
    optimizer = RMSprop(**{name: value})
    assert optimizer.get_config()[name] == value
    assert optimizer.get_config() != RMSprop().get_config()
    assert _both_ways(optimizer).get_config() == optimizer.get_config()


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"ema_overwrite_frequency": None}, {"weight_decay": 0.0}])
def test_configs_come_back_equal(options):
    optimizer = RMSprop(**options)
    assert _both_ways(optimizer).get_config() == optimizer.get_config()
    assert {name: optimizer.get_config()[name] for name in options} == options


def test_numbers_are_plain():
    config = RMSprop(tf.Variable(0.25), weight_decay=numpy.float32(0.5), use_ema=numpy.bool_(True)).get_config()
    assert [type(config[name]) for name in ("learning_rate", "weight_decay", "use_ema")] == [float, float, bool]
    assert (config["learning_rate"], config["weight_decay"], config["use_ema"]) == (0.25, 0.5, True)


def test_a_learning_rate_is_written_as_it_was_given_until_it_is_changed():
    """The original writes what float32 made of it, 0.10000000149, which JSON refuses besides."""
    optimizer = RMSprop(0.1)
    assert optimizer.get_config()["learning_rate"] == 0.1
    optimizer.learning_rate.assign(0.3)
    assert optimizer.get_config()["learning_rate"] == float(numpy.float32(0.3))
    with pytest.raises(TypeError, match="float32"):
        json.dumps(Original(0.1).get_config())


# With the original ----------------------------------------------------------------------------------------------------


def test_entries_are_the_original_s():
    assert RMSprop().get_config().keys() == Original().get_config().keys()


@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {name: OPTIONS[name] for name in ("clipvalue", "epsilon", "name")}]
)
def test_the_original_reads_ours(options):
    optimizer = Original.from_config(RMSprop(**options).get_config())
    assert type(optimizer) is Original
    assert optimizer.get_config() == Original(**options).get_config()


@pytest.mark.parametrize("name", OURS)
def test_the_original_refuses_what_only_ours_has(name):
    with pytest.raises(TypeError, match=name):
        Original.from_config(RMSprop(**{name: OURS[name]}).get_config())


@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {name: OPTIONS[name] for name in ("clipvalue", "epsilon", "name")}]
)
def test_ours_reads_the_original_s(options):
    optimizer = RMSprop.from_config(Original(**options).get_config())
    expected = RMSprop(**options).get_config()
    found = optimizer.get_config()
    assert found.pop("learning_rate") == numpy.float32(expected.pop("learning_rate"))
    assert found == expected
    json.dumps(optimizer.get_config())


@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
@pytest.mark.parametrize("value", [0, 0.0, -1])
def test_a_clip_of_nothing_is_none(clip, value):
    assert RMSprop.from_config(Original(**{clip: value}).get_config()).get_config()[clip] is None


def test_jit_compile_of_the_original_is_not_believed():
    """It is False wherever there was no GPU; ours keeps what the user gave."""
    config = Original(jit_compile=True).get_config()
    assert config["jit_compile"] is False
    assert RMSprop.from_config(config).get_config()["jit_compile"] is True
    del config["is_legacy_optimizer"]
    assert RMSprop.from_config(config).get_config()["jit_compile"] is False


def test_configs_are_not_changed_by_reading():
    for config in (Original(clipnorm=0, learning_rate=theirs.ExponentialDecay(0.5, 2, 0.5)).get_config(),
                   RMSprop(schedules.ExponentialDecay(0.5, 2, 0.5)).get_config()):  # fmt: skip
        before = json.dumps(config)
        RMSprop.from_config(config)
        assert json.dumps(config) == before


@pytest.mark.parametrize(
    ("entry", "error", "match"),
    [
        ({"decay": 0.0}, TypeError, "weight_decay"),
        ({"foo": 1}, TypeError, "foo=1"),
        ({"rho": 7}, ValueError, "rho=7"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "at most one"),
        ({"native": "yes"}, TypeError, "native='yes'"),
    ],
)
def test_bad_configs_are_refused(entry, error, match):
    with pytest.raises(error, match=match):
        RMSprop.from_config({**Original().get_config(), **entry})


# tf_keras's functions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_legacy_format", [False, True])
@pytest.mark.parametrize("read", [tf_keras.optimizers.deserialize, tf_keras.optimizers.get])
def test_serialize_and_back(use_legacy_format, read):
    written = tf_keras.optimizers.serialize(RMSprop(**EVERYTHING), use_legacy_format=use_legacy_format)
    arguments = {"use_legacy_format": True} if use_legacy_format and read is tf_keras.optimizers.deserialize else {}
    optimizer = read(json.loads(json.dumps(written)), **arguments)
    assert_ours(optimizer)
    assert optimizer.get_config() == RMSprop(**EVERYTHING).get_config()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_jit_compile_false_in_files(name, tmp_path):
    """It looks like what the original writes without a GPU, and is believed nevertheless."""
    compiled(RMSprop(jit_compile=False)).save(tmp_path / name)
    again = tf_keras.models.load_model(tmp_path / name).optimizer
    assert_ours(again)
    assert again.get_config()["jit_compile"] is False
    assert Original.from_config(RMSprop(jit_compile=False).get_config()).get_config() == Original().get_config()


def test_get_lets_an_optimizer_be():
    optimizer = RMSprop()
    assert tf_keras.optimizers.get(optimizer) is optimizer


def test_compile_by_name():
    """The bare name is tf_keras's own."""
    model = mlp()
    for name, kind in (("rmsprop>RMSprop", RMSprop), ("rmsprop", Original), ("RMSprop", Original)):
        model.compile(name)
        assert type(model.optimizer) is kind


# Schedules ------------------------------------------------------------------------------------------------------------

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
