"""Files, configs and pickles of other versions: what one lacks has its default, what one adds is passed over.

The files in `saved` were made by the first version: RMSprop(0.25, momentum=0.5, centered=True, use_ema=True,
jit_compile=False) built for w = [1, -2, 3] in float32 and b = 0.5 in float64, after three steps k = 1, 2, 3 with the
gradients [0.5, 0.25, -1] * k and 0.125, then learning_rate = 0.125.
"""

import pickle
from pathlib import Path

import numpy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rmsprop import RMSprop, schedules

SAVED = Path(__file__).parent / "saved"
OPTIONS = {"momentum": 0.5, "centered": True, "use_ema": True, "jit_compile": False}

# What the first version printed.
STATE = {
    "iterations": 3,
    "average/w": [0.9379292726516724, -2.062070608139038, 3.062070846557617],
    "average/b": 0.4433833155188657,
    "velocity/w": [0.33525002002716064, 0.08381250500679016, 1.3410000801086426],
    "velocity/b": 0.0042343749999999986,
    "momentum/w": [1.341069221496582, 1.341066837310791, -1.3410699367523193],
    "momentum/b": 1.0894030983900524,
    "average_gradient/w": [0.28049999475479126, 0.14024999737739563, -0.5609999895095825],
    "average_gradient/b": 0.03387499999999999,
}
VARIABLES = {"w": [-2.375868797302246, -5.375856876373291, 6.375871658325195], "b": -2.476611333653704}


def arrays():
    return {"w": numpy.array([1.0, -2.0, 3.0], numpy.float32), "b": numpy.array(0.5)}


def plain(found):
    return {name: array.tolist() for name, array in found.items()}


def go_on(optimizer, w):
    optimizer.apply_gradients([(numpy.full(3, 0.5, numpy.float32), w["w"]), (numpy.array(0.5), w["b"])])
    return plain(optimizer.variables), plain(w)


def test_the_first_versions_file_is_read():
    w, optimizer = arrays(), RMSprop(**OPTIONS)
    optimizer.build(w)
    assert optimizer.load(SAVED / "first.safetensors", variables=True) == {"epoch": "3"}
    assert plain(optimizer.variables) == STATE
    assert plain(w) == VARIABLES
    assert optimizer.learning_rate == 0.125


def test_the_first_versions_pickle_is_read():
    optimizer, w = pickle.loads((SAVED / "first.pickle").read_bytes())
    assert plain(optimizer.variables) == STATE
    assert plain(w) == VARIABLES
    assert optimizer.get_config() == RMSprop(0.125, **OPTIONS).get_config()
    again, v = RMSprop(**OPTIONS), arrays()
    again.build(v)
    again.load(SAVED / "first.safetensors", variables=True)
    assert go_on(optimizer, w) == go_on(again, v)


def rewritten(path, change):
    """Copy the first version's file with other texts."""
    with safe_open(SAVED / "first.safetensors", framework="np") as file:
        texts = file.metadata()
    save_file(load_file(SAVED / "first.safetensors"), path, metadata=change(texts))
    return path


def test_texts_of_a_later_version_are_passed_over(tmp_path):
    path = rewritten(tmp_path / "run", lambda texts: texts | {"rmsprop.later": "x", "epoch": "4"})
    optimizer = RMSprop(**OPTIONS)
    optimizer.build(arrays())
    assert optimizer.load(path) == {"epoch": "4"}
    assert plain(optimizer.variables) == STATE


@pytest.mark.parametrize("config", ['{"learning_rate": 0.125}', '{"learning_rate": 0.125, "later": [1], "rho": 0.5}'])
def test_a_config_of_fewer_or_more_entries_is_read(tmp_path, config):
    path = rewritten(tmp_path / "run", lambda texts: texts | {"rmsprop.config": config})
    optimizer = RMSprop(**OPTIONS)
    optimizer.build(arrays())
    with pytest.warns(UserWarning, match="(?s)saved with other options.*momentum=0.0 in the file, 0.5 here"):
        optimizer.load(path)
    assert optimizer.get_config() == RMSprop(0.125, **OPTIONS).get_config()


def test_a_later_format_is_refused_by_its_number(tmp_path):
    path = rewritten(tmp_path / "run", lambda texts: texts | {"rmsprop.format": "2"})
    optimizer = RMSprop(**OPTIONS)
    optimizer.build(arrays())
    with pytest.raises(ValueError, match="run' is a checkpoint of the format '2', this version reads '1'"):
        optimizer.load(path)
    assert optimizer.iterations == 0


def test_a_pickle_that_lacks_or_adds_entries_is_read():
    """As far as it holds what was not there at first, at its default."""
    optimizer = RMSprop(**OPTIONS)
    full = optimizer.__getstate__()
    for name in full:
        other = RMSprop.__new__(RMSprop)
        other.__setstate__({key: value for key, value in full.items() if key != name} | {"_later": 3})
        expected = RMSprop() if name == "_options" else optimizer
        assert other.get_config() == expected.get_config()
        assert other.iterations == 0
        go_on(other, arrays())


@pytest.mark.parametrize("name", list(RMSprop().get_config()))
def test_a_config_without_an_entry_has_its_default(name):
    config = RMSprop(0.25, 0.5, 0.5, 0.5, True, 0.5, 0.5, None, None, True, 0.5, 7, False, "n").get_config()
    del config[name]
    assert RMSprop.from_config(config).get_config() == config | {name: RMSprop().get_config()[name]}


@pytest.mark.parametrize("name", ["staircase", "name"])
def test_a_schedules_config_without_an_entry_has_its_default(name):
    config = schedules.serialize(schedules.ExponentialDecay(0.5, 10, 0.5))
    del config["config"][name]
    assert schedules.deserialize(config) == schedules.ExponentialDecay(0.5, 10, 0.5)
