"""Configs that nobody's `get_config` gave: a TypeError or a ValueError that says which entry is wrong."""

import json

import numpy
import pytest

from rmsprop import RMSprop, schedules

GOOD = {
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [1], "values": [0.1, 0.2]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
}
JUNK = [
    None, 3, 1.5, True, "x", "", b"x", [], [1, 2], [[1]], (), {}, {"a": 1}, {"class_name": "__numpy__"},
    {"class_name": "__numpy__", "config": None}, {"class_name": "__tensor__", "config": {}}, {"class_name": []},
    {1}, object(), float("nan"), float("inf"), -1, 10**400, 1j, numpy.ones(2), numpy.array("x"), print, type,
]  # fmt: skip
DEEP = json.loads("[" * 900 + "]" * 900)

READERS = {
    "deserialize": schedules.deserialize,
    "from_config": lambda config: RMSprop.from_config({"learning_rate": config}),
}
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@readers
@pytest.mark.parametrize("name", GOOD)
def test_what_get_config_gives_is_read(read, name):
    read({"class_name": name, "config": GOOD[name]})


@readers
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_config_that_is_no_dictionary(read, junk):
    with pytest.raises((TypeError, ValueError), match=r"config|arguments|missing|unexpected"):
        read({"class_name": "ExponentialDecay", "config": junk})


@readers
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_class_name_that_is_none(read, junk):
    with pytest.raises((TypeError, ValueError), match="class_name must be"):
        read({"class_name": junk, "config": GOOD["ExponentialDecay"]})


@readers
@pytest.mark.parametrize("entry", ["registered_name", "module"])
@pytest.mark.parametrize("junk", [one for one in JUNK if one is not None and not isinstance(one, str)], ids=repr)
def test_a_registered_name_or_module_that_is_none(read, entry, junk):
    with pytest.raises(TypeError, match=f"{entry} must be a string or None"):
        read({"class_name": "ExponentialDecay", "config": GOOD["ExponentialDecay"], entry: junk})


@readers
@pytest.mark.parametrize("entry", ["class_name", "config"])
def test_a_missing_entry(read, entry):
    config = {"class_name": "ExponentialDecay", "config": GOOD["ExponentialDecay"]}
    del config[entry]
    with pytest.raises(ValueError, match="must have the entries 'class_name' and 'config'"):
        read(config)


def test_any_argument_may_be_junk():
    """Either it is refused, or it is what the argument may be, and then the schedule works."""
    refused = 0
    for name, arguments in GOOD.items():
        complete = schedules.deserialize({"class_name": name, "config": arguments}).get_config()
        for argument in complete:
            for junk in [*JUNK, DEEP]:
                try:
                    made = schedules.deserialize({"class_name": name, "config": complete | {argument: junk}})
                except (TypeError, ValueError):
                    refused += 1
                else:
                    assert schedules.deserialize(schedules.serialize(made)) == made
                    json.dumps(made.get_config())
    assert refused > 500


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("extra", ["x", "initial_rate", 3, None, ("a",)])
def test_arguments_that_no_schedule_has(name, extra):
    with pytest.raises(TypeError, match="x|initial_rate|3|None|a"):
        schedules.deserialize({"class_name": name, "config": GOOD[name] | {extra: 1}})


@pytest.mark.parametrize("name", GOOD)
def test_arguments_that_are_missing(name):
    for argument in GOOD[name]:
        config = {key: value for key, value in GOOD[name].items() if key != argument}
        with pytest.raises(TypeError, match=argument):
            schedules.deserialize({"class_name": name, "config": config})


@pytest.mark.parametrize("junk", [3, "x", [1], {1}], ids=repr)
def test_custom_objects_that_are_no_dictionary(junk):
    with pytest.raises(TypeError, match="custom_objects must be a dictionary"):
        schedules.deserialize({"class_name": "X", "config": {}}, custom_objects=junk)


@pytest.mark.parametrize("junk", [one for one in JUNK if not isinstance(one, dict)], ids=repr)
def test_an_optimizers_config_that_is_no_mapping(junk):
    with pytest.raises(TypeError, match="config=.* is no mapping"):
        RMSprop.from_config(junk)


def test_any_option_may_be_junk():
    refused = 0
    for name in RMSprop().get_config():
        for junk in JUNK:
            try:
                optimizer = RMSprop.from_config({name: junk})
            except (TypeError, ValueError):
                refused += 1
            else:
                assert callable(junk) or json.loads(json.dumps(optimizer.get_config())) == optimizer.get_config()
    assert refused > 300
