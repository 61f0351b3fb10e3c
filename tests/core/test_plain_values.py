"""Options that come as NumPy's numbers, flags and strings are plain Python values wherever they are kept."""

import json
import pickle

import numpy
import pytest

from rmsprop import RMSprop, schedules

GIVEN = {
    "learning_rate": numpy.float64(0.5), "rho": numpy.float32(0.5), "momentum": numpy.float64(0.5),
    "epsilon": numpy.float16(0.5), "centered": numpy.True_, "weight_decay": numpy.float64(0.5),
    "clipnorm": numpy.int64(2), "use_ema": numpy.True_, "ema_momentum": numpy.array(0.5),
    "ema_overwrite_frequency": numpy.int32(5), "jit_compile": numpy.False_, "name": numpy.str_("mine"),
    "initial_velocity": numpy.uint8(1), "slot_dtype": numpy.str_("float64"),
}  # fmt: skip
OTHER_CLIPS = [{"clipvalue": numpy.float32(2)}, {"global_clipnorm": numpy.float64(2)}]


def assert_plain(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            assert type(name) is str
            assert_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            assert_plain(inner)
    else:
        assert type(value) in (int, float, bool, str, type(None)), repr(value)


@pytest.mark.parametrize("clip", [{}, *OTHER_CLIPS])
def test_configs_hold_plain_values(clip):
    given = {name: value for name, value in GIVEN.items() if not (clip and name == "clipnorm")} | clip
    config = RMSprop(**given).get_config()
    assert_plain(config)
    assert {name: config[name] for name in given} == given
    assert_plain(RMSprop.from_config(given).get_config())


def test_copies_pickles_and_files_hold_plain_values(tmp_path):
    optimizer = RMSprop(**GIVEN)
    optimizer.build([numpy.ones(2)])
    optimizer.iterations = numpy.int64(3)
    optimizer.learning_rate = numpy.float32(0.25)
    assert type(optimizer.iterations) is int
    assert type(optimizer.learning_rate) is float
    assert_plain(pickle.loads(pickle.dumps(optimizer)).get_config())
    optimizer.save(tmp_path / "run")
    other = RMSprop(**GIVEN)
    other.build([numpy.ones(2)])
    other.load(tmp_path / "run")
    assert other.get_config() == optimizer.get_config()
    assert_plain(other.get_config())


def test_schedules_hold_plain_values():
    schedule = schedules.PolynomialDecay(
        numpy.float32(0.5), numpy.int64(10), numpy.float64(0.25), numpy.float16(2), numpy.True_, numpy.str_("mine")
    )
    assert_plain(schedules.serialize(schedule))
    assert_plain(schedules.serialize(schedules.PiecewiseConstantDecay(numpy.arange(2), numpy.ones(3))))
    json.dumps(RMSprop(schedule).get_config())
