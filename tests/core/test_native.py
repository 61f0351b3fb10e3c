"""The argument `native`, and the environment variable that it overrides."""

import copy
import json
import pickle

import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop import RMSprop, RowSparse

PLAIN, NATIVE = ("plain", ""), ("native", "")


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch):
    monkeypatch.delenv("RMSPROP_NATIVE", raising=False)


def stepped(steps=3, **arguments):
    """Bits of variables and state after steps with dense and sparse gradients."""
    w, optimizer = {"flat": numbers(300), "rows": numpy.ones((5, 6), "float16")}, RMSprop(**EVERYTHING, **arguments)
    for step in range(steps):
        rows = RowSparse([3, 1], numbers(12, seed=step).reshape(2, 6), (5, 6))
        optimizer.apply_gradients([(numbers(300, seed=step), w["flat"]), (rows, w["rows"])])
    return [array.tobytes() for array in (*w.values(), *optimizer.variables.values())], optimizer


def way(optimizer, *variables):
    (found,) = {(one.way, one.reason) for one in optimizer.explain(*variables).variables.values()}
    return found


@pytest.mark.parametrize("native", ["yes", 1, 0, "0", numpy.True_])
def test_it_is_a_truth_value(native):
    with pytest.raises(TypeError, match=rf"native={native!r} is not True, False or None"):
        RMSprop(native=native)
    with pytest.raises(TypeError, match=rf"native={native!r} is not True, False or None"):
        RMSprop.from_config({"native": native})


def test_it_is_given_by_its_name():
    with pytest.raises(TypeError, match="positional"):
        RMSprop(*RMSprop().get_config().values(), None)


def test_false_is_the_step_without_a_compiler():
    bits, optimizer = stepped(native=False)
    assert bits == stepped(jit_compile=False)[0] == stepped()[0]
    assert way(optimizer) == ("plain", "native=False")


@pytest.mark.parametrize(
    ("variable", "native", "expected"),
    [
        (None, None, NATIVE), (None, True, NATIVE), (None, False, ("plain", "native=False")),
        ("1", None, NATIVE), ("1", True, NATIVE), ("1", False, ("plain", "native=False")),
        ("0", None, ("plain", "RMSPROP_NATIVE=0")), ("0", True, NATIVE), ("0", False, ("plain", "native=False")),
    ],
)  # fmt: skip
def test_what_decides(monkeypatch, variable, native, expected):
    if variable is not None:
        monkeypatch.setenv("RMSPROP_NATIVE", variable)
    bits, optimizer = stepped(1, native=native)
    assert way(optimizer) == way(RMSprop(native=native), [numpy.ones(3)]) == expected
    assert bits == stepped(1)[0]


def test_the_environment_decides_when_the_optimizer_is_built(monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    w, optimizer = numpy.ones(3), RMSprop()
    optimizer.build([w])
    monkeypatch.setenv("RMSPROP_NATIVE", "1")
    optimizer.apply_gradients([(w.copy(), w)])
    assert way(optimizer) == ("plain", "RMSPROP_NATIVE=0")


@pytest.mark.parametrize("value", ["", "yes", "2"])
def test_the_environment_says_yes_or_no(monkeypatch, value):
    monkeypatch.setenv("RMSPROP_NATIVE", value)
    w, optimizer = numpy.ones(3), RMSprop()
    for refused in (lambda: optimizer.apply_gradients([(w, w)]), lambda: optimizer.explain([w])):
        with pytest.raises(ValueError, match=rf"RMSPROP_NATIVE={value!r} is neither 0 nor 1"):
            refused()
    assert optimizer.iterations == 0
    RMSprop(native=False).apply_gradients([(w.copy(), w)])


@pytest.mark.parametrize("native", [True, False])
def test_the_config_has_it_and_goes_through_json(native):
    config = json.loads(json.dumps(RMSprop(0.5, native=native).get_config()))
    assert config == RMSprop(0.5).get_config() | {"native": native}
    again = RMSprop.from_config(config)
    assert again.get_config() == config
    assert repr(again) == f"RMSprop(learning_rate=0.5, native={native})"


def test_the_config_is_that_of_earlier_versions_without_it():
    assert "native" not in RMSprop().get_config()
    assert RMSprop.from_config({"native": None}).get_config() == RMSprop().get_config()


def test_copies_have_it():
    _, optimizer = stepped(1, native=False)
    for again in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert again.get_config() == optimizer.get_config()
        assert way(again) == ("plain", "native=False")


def test_it_cannot_be_assigned():
    with pytest.raises(AttributeError, match="native=False cannot be assigned: give native to the constructor"):
        RMSprop().native = False


def test_a_file_knows_nothing_of_it(tmp_path):
    w = [numpy.ones(3)]
    one, other = RMSprop(native=False), RMSprop()
    for optimizer in (one, other):
        optimizer.build(w)
    one.save(tmp_path / "run")
    other.load(tmp_path / "run")
