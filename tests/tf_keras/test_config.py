"""Configs: ours and the original's, each read by both."""

import json

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import EVERYTHING, assert_ours, compiled, mlp

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
