"""The six schedules against their closed forms, their corners, their errors and their JSON."""

import copy
import dataclasses
import json
import math
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmsprop import schedules
from rmsprop.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

ALL = {
    "exponential": ExponentialDecay(0.1, 100, 0.96),
    "exponential stairs": ExponentialDecay(0.1, 41, 0.5, staircase=True),
    "piecewise": PiecewiseConstantDecay([10, 300], [1.0, 0.5, 0.1]),
    "polynomial": PolynomialDecay(0.1, 700, power=2.0, name="poly"),
    "polynomial cycle": PolynomialDecay(0.1, 41, 0.01, 0.5, cycle=True),
    "inverse": InverseTimeDecay(0.1, 10, 0.5),
    "inverse stairs": InverseTimeDecay(0.1, 41, 0.5, staircase=True),
    "cosine": CosineDecay(0.1, 700, 0.1),
    "cosine warm-up": CosineDecay(0.0, 700, 0.1, warmup_target=0.3, warmup_steps=41),
    "restarts equal": CosineDecayRestarts(0.1, 41, 1.0, 0.9),
    "restarts": CosineDecayRestarts(0.1, 10, 2.0, 0.9, 0.1),
    "restarts shrinking": CosineDecayRestarts(0.1, 700, 0.5),
}
every_schedule = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL.keys())

# Each row: a schedule, a step, the value by hand. Rows of one schedule name its corners.
VALUES = [
    (ExponentialDecay(0.1, 100, 0.5), 0, 0.1),
    (ExponentialDecay(0.1, 100, 0.5), 50, 0.1 * math.sqrt(0.5)),
    (ExponentialDecay(1, 10, 2), 30, 8.0),  # growing, and integers all through
    (ExponentialDecay(0.1, 100, 0.5, staircase=True), 99, 0.1),
    (ExponentialDecay(0.1, 100, 0.5, staircase=True), 100, 0.05),
    (ExponentialDecay(0.5, 10, 0.0), 0, 0.5),  # 0**0 is 1
    (ExponentialDecay(0.5, 10, 0.0), 1, 0.0),
    (ExponentialDecay(0.5, 1, -1.0), 3, -0.5),
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), 0, 1.0),
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), 10, 1.0),  # the boundary belongs to what is before it
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), 11, 0.5),
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), 20, 0.5),
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), 21, 0.1),
    (PiecewiseConstantDecay([10.5], [1, 2]), 10, 1.0),
    (PiecewiseConstantDecay([10.5], [1, 2]), 11, 2.0),
    (PiecewiseConstantDecay([], [0.3]), 5, 0.3),
    (PolynomialDecay(1.0, 100, 0.5), 50, 0.75),
    (PolynomialDecay(1.0, 100, 0.5, power=2), 50, 0.625),
    (PolynomialDecay(1.0, 100, 0.5, power=0.5), 100, 0.5),
    (PolynomialDecay(1.0, 100, 0.5), 1000, 0.5),
    (PolynomialDecay(1.0, 100, 0.5, power=0), 100, 1.0),  # 0**0 is 1
    (PolynomialDecay(0.5, 100, 1.0), 50, 0.75),  # upwards
    (PolynomialDecay(1.0, 100, 0.0, cycle=True), 0, 1.0),
    (PolynomialDecay(1.0, 100, 0.0, cycle=True), 100, 0.0),  # a multiple is the end of its cycle
    (PolynomialDecay(1.0, 100, 0.0, cycle=True), 101, 1 - 101 / 200),
    (PolynomialDecay(1.0, 100, 0.0, cycle=True), 300, 0.0),
    (InverseTimeDecay(1.0, 10, 0.5), 10, 1 / 1.5),
    (InverseTimeDecay(1.0, 10, 0.5), 5, 0.8),
    (InverseTimeDecay(1.0, 10, 0.5, staircase=True), 9, 1.0),
    (InverseTimeDecay(1.0, 10, 0.5, staircase=True), 20, 0.5),
    (CosineDecay(1.0, 100), 0, 1.0),
    (CosineDecay(1.0, 100), 50, 0.5),
    (CosineDecay(1.0, 100), 100, 0.0),
    (CosineDecay(1.0, 100), 10**12, 0.0),
    (CosineDecay(1.0, 100, 0.2), 100, 0.2),
    (CosineDecay(1.0, 100, -0.5), 100, -0.5),
    (CosineDecay(1.0, 100, 2.0), 100, 2.0),
    (CosineDecay(1.0, 100, warmup_steps=50), 50, 0.5),  # no target, no warm-up
    (CosineDecay(1.0, 100, warmup_target=4.0), 0, 4.0),  # no steps: at once from the target
    (CosineDecay(1.0, 100, warmup_target=4.0), 50, 2.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 0, 0.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 2, 1.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 8, 4.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 58, 3.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 108, 2.0),
    (CosineDecay(0, 100, 0.5, warmup_target=4, warmup_steps=8), 109, 2.0),
    (CosineDecay(1.0, 100, warmup_target=0.5, warmup_steps=10), 5, 0.75),  # a warm-up downwards
    (CosineDecayRestarts(1.0, 10, 1.0, 0.5), 0, 1.0),
    (CosineDecayRestarts(1.0, 10, 1.0, 0.5), 5, 0.5),
    (CosineDecayRestarts(1.0, 10, 1.0, 0.5), 10, 0.5),
    (CosineDecayRestarts(1.0, 10, 1.0, 0.5), 25, 0.125),
    (CosineDecayRestarts(1.0, 10, alpha=0.5), 5, 0.75),
    (CosineDecayRestarts(1.0, 10), 10, 1.0),
    (CosineDecayRestarts(1.0, 10), 20, 0.5),
    (CosineDecayRestarts(1.0, 10), 30, 1.0),
    (CosineDecayRestarts(1.0, 10, m_mul=-1.0), 10, -1.0),
    (CosineDecayRestarts(1.0, 10, m_mul=0.0), 5, 0.5),
    (CosineDecayRestarts(1.0, 10, m_mul=0.0), 15, 0.0),
    (CosineDecayRestarts(1.0, 8, 0.5), 8, 1.0),
    (CosineDecayRestarts(1.0, 8, 0.5), 10, 0.5),
    (CosineDecayRestarts(1.0, 8, 0.5, 3.0, alpha=0.25), 16, 0.25),  # the periods have shrunk to nothing
    (CosineDecayRestarts(1.0, 8, 0.5, 3.0, alpha=0.25), 10**12, 0.25),
]


@pytest.mark.parametrize(("schedule", "step", "expected"), VALUES)
def test_value_in_closed_form(schedule, step, expected):
    # Measured mismatch: none; the bound is one ulp of the cosine, for another mathematics library.
    assert schedule(step) == pytest.approx(expected, rel=0, abs=2e-16)


@every_schedule
def test_kinds_of_step_agree(schedule):
    steps = np.arange(1200)
    by_number = np.array([schedule(int(step)) for step in steps])
    # Measured mismatch: 3.5e-16, NumPy computes powers of arrays and of scalars by different routines.
    np.testing.assert_allclose(schedule(steps), by_number, rtol=1e-15, atol=1e-17)
    np.testing.assert_array_equal(schedule(steps.reshape(30, 40)), schedule(steps).reshape(30, 40))
    np.testing.assert_array_equal(schedule(steps.astype(np.float32)), schedule(steps))
    assert [schedule(np.int64(step)) for step in (0, 41, 700)] == [schedule(step) for step in (0, 41, 700)]


@every_schedule
def test_type_of_the_value(schedule):
    for step in (7, 7.0):
        assert type(schedule(step)) is float
    for step in (np.int32(7), np.float32(7.0), np.array(7), np.uint8(7)):
        assert type(schedule(step)) is np.float64
    rates = schedule(np.arange(3, dtype=np.int8))
    assert (type(rates), rates.dtype, rates.shape) == (np.ndarray, np.float64, (3,))


@every_schedule
def test_large_steps_stay_finite(schedule):
    rates = [schedule(step) for step in (2**24 + 1, 10**9, 10**12, 2**62, 1e15)]
    assert all(math.isfinite(rate) and -1e-17 <= rate <= 1.0 for rate in rates)


@pytest.mark.parametrize("t_mul", [1.0, 1 + 1e-9, 1 + 1e-6, 1.01, 2.0, 1e6, 1e200, 1e300, 0.999, 1e-3])
def test_restarts_stay_within_their_range(t_mul):
    schedule = CosineDecayRestarts(0.1, 100, t_mul, alpha=0.1)
    rates = schedule(np.concatenate([np.arange(2000.0), 10.0 ** np.arange(4, 16)]))
    assert np.all((rates >= 0.1 * 0.1 - 1e-17) & (rates <= 0.1 + 1e-17))  # NaN is not within


def test_what_leaves_the_range_of_a_double_is_inf_without_a_warning():
    assert ExponentialDecay(0.1, 1, 2.0)(10**12) == math.inf
    assert PolynomialDecay(0.1, 10, 0.0, power=-1)(10) == math.inf
    assert InverseTimeDecay(0.1, 10, -1.0)(10) == math.inf
    assert np.isnan(ExponentialDecay(0.1, 2, -1.0)(np.array([1]))[0])
    assert math.isnan(ExponentialDecay(0.1, 2, -1.0)(1))


def starts_of_periods(first, t_mul, below):
    """Return the whole-numbered steps at which exact arithmetic starts a period, and the lengths before them."""
    start, length = Fraction(0), Fraction(first)
    while start + length < below:
        start, length = start + length, length * Fraction(str(t_mul))
        if start.denominator == 1:
            yield int(start), length


@pytest.mark.parametrize("t_mul", [1.0, 1.1, 1.2, 1.25, 1.5, 2.0, 2.5, 3.0, 10.0, 1000.0])
@pytest.mark.parametrize("first", [4, 7, 10, 41, 100, 1000, 3000])
def test_a_period_starts_at_its_exact_step(first, t_mul):
    boundaries = list(starts_of_periods(first, t_mul, min(2**40, 500 * first if t_mul == 1 else 2**40)))
    assert boundaries
    steps = np.array([start for start, _ in boundaries])
    schedule = CosineDecayRestarts(1.0, first, t_mul)
    np.testing.assert_array_equal(schedule(steps), 1.0)
    assert np.all(schedule(steps - 1) < 0.5)  # a period of at least 4 steps is past its middle there


@given(n=st.integers(1, 10**6), k=st.integers(0, 10**9))
def test_stairs_step_at_exact_multiples(n, k):
    stairs = InverseTimeDecay(1.0, n, 1.0, staircase=True)
    assert stairs(k * n) == 1.0 / (1 + k)
    assert stairs(k * n + n - 1) == 1.0 / (1 + k)
    assert stairs((k + 1) * n) == 1.0 / (2 + k)


@given(n=st.integers(2, 10**6), k=st.integers(1, 10**6))
def test_a_cycle_ends_at_exact_multiples(n, k):
    cycles = PolynomialDecay(1.0, n, 0.25, cycle=True)
    assert cycles(k * n) == 0.25
    # the next cycle starts on a line from 1 at step 0 to 0.25 at its end; measured mismatch: 1.1e-16, rounding
    assert cycles(k * n + 1) == pytest.approx(1.0 - 0.75 * (k * n + 1) / ((k + 1) * n), rel=0, abs=1e-15)


@given(n=st.integers(1, 10**4), k=st.integers(0, 10**6), offset=st.integers(0, 10**4))
def test_equal_restarts_are_exactly_periodic(n, k, offset):
    schedule = CosineDecayRestarts(0.1, n, t_mul=1.0)
    assert schedule(k * n + offset % n) == schedule(offset % n)


@given(
    n=st.integers(1, 10**6),
    alpha=st.floats(0, 1),
    target=st.floats(0, 1),
    warmup=st.integers(1, 10**4),
    step=st.integers(0, 10**6),
)
def test_cosine_falls_behind_a_continuous_warmup(n, alpha, target, warmup, step):
    schedule = CosineDecay(0.5, n, alpha, warmup_target=target, warmup_steps=warmup)
    assert schedule(warmup + step + 1) <= schedule(warmup + step)
    slope = abs(target - 0.5) / warmup  # measured mismatch: 1.1e-16, rounding
    assert abs(schedule(warmup) - schedule(warmup - 1)) == pytest.approx(slope, rel=0, abs=1e-15)
    assert schedule(warmup) == target  # both pieces meet without a gap


@given(
    name=st.sampled_from(["exponential", "exponential stairs", "polynomial", "inverse", "inverse stairs", "cosine"]),
    step=st.integers(0, 10**7),
    ahead=st.integers(0, 10**4),
)
def test_a_decay_never_rises(name, step, ahead):
    assert ALL[name](step + ahead) <= ALL[name](step)


NOT_A_STEP = [
    (None, r"step must be a number or an array .*got None of type NoneType"),
    ("7", r"step must be a number or an array .*got '7' of type str"),
    ([1, 2], r"step must be a number or an array .*got \[1, 2\] of type list"),
    (True, r"step must be a number or an array .*got True of type bool"),
    (1j, r"step must be a number or an array .*got 1j of type complex"),
    (np.bool_(True), r"step must hold integers or real numbers.*bool"),
    (np.array([1j]), r"step must hold integers or real numbers.*complex128"),
    (np.array(["7"]), r"step must hold integers or real numbers.*<U1"),
    (np.array([None]), r"step must hold integers or real numbers.*object"),
]


@pytest.mark.parametrize(("step", "message"), NOT_A_STEP)
def test_what_is_no_step(step, message):
    with pytest.raises(TypeError, match=message):
        ALL["cosine"](step)


GOOD = {
    ExponentialDecay: {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    InverseTimeDecay: {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    PolynomialDecay: {"initial_learning_rate": 0.1, "decay_steps": 10},
    CosineDecay: {"initial_learning_rate": 0.1, "decay_steps": 10},
    CosineDecayRestarts: {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    PiecewiseConstantDecay: {"boundaries": [10, 20], "values": [1.0, 0.5, 0.1]},
}
RATES = ["initial_learning_rate", "end_learning_rate", "warmup_target", "warmup_steps"]
LENGTHS = ["decay_steps", "first_decay_steps", "t_mul"]
FREE = ["decay_rate", "power", "alpha", "m_mul"]
FLAGS = ["staircase", "cycle"]

# Each row: the arguments it applies to, a bad value, the error, and what its text says after the argument's name.
BAD = [
    (RATES + LENGTHS + FREE, True, TypeError, r"must be a number, got True of type bool"),
    (RATES + LENGTHS + FREE, "1", TypeError, r"must be a number, got '1' of type str"),
    (RATES + LENGTHS + FREE, 1j, TypeError, r"must be a number, got 1j of type complex"),
    (RATES + LENGTHS + FREE, np.array(1.0), TypeError, r"must be a number, got array\(1\.\) of type ndarray"),
    (RATES + LENGTHS + FREE, math.nan, ValueError, r"must be finite, got nan"),
    (RATES + LENGTHS + FREE, -math.inf, ValueError, r"must be finite, got -inf"),
    (RATES + LENGTHS + FREE, 10**400, ValueError, r"must be finite, got 1000"),
    (RATES, -0.1, ValueError, r"must be 0 or greater, got -0\.1"),
    (LENGTHS, 0, ValueError, r"must be greater than 0, got 0"),
    (LENGTHS, -2.5, ValueError, r"must be greater than 0, got -2\.5"),
    (FLAGS, 1, TypeError, r"must be True or False, got 1 of type int"),
    (FLAGS, None, TypeError, r"must be True or False, got None of type NoneType"),
    (["name"], 3, TypeError, r"must be a string or None, got 3 of type int"),
    (["boundaries"], 10, TypeError, r"must be a list of numbers, got 10 of type int"),
    (["boundaries", "values"], "12", TypeError, r"must be a list of numbers, got '12' of type str"),
    (["boundaries"], np.zeros((2, 2)), TypeError, r"must be a list of numbers, got array"),
    (["boundaries"], [10, True], TypeError, r"\[1\] must be a number, got True"),
    (["boundaries"], [10, math.nan], ValueError, r"\[1\] must be finite, got nan"),
    (["boundaries"], [20, 10], ValueError, r"must be strictly increasing, got \(20, 10\)"),
    (["boundaries"], [10, 10], ValueError, r"must be strictly increasing, got \(10, 10\)"),
    (["values"], [1.0, 0.5, -0.1], ValueError, r"\[2\] must be 0 or greater, got -0\.1"),
    (
        ["values"],
        [1.0, 0.5],
        ValueError,
        r"must hold one number more than boundaries, got 2 values \(1\.0, 0\.5\) for 2",
    ),
    (["values"], [], ValueError, r"must hold one number more than boundaries, got 0 values"),
]
ERRORS = [
    pytest.param(schedule, argument, value, error, text, id=f"{schedule.__name__}-{argument}-{str(value)[:12]}")
    for arguments, value, error, text in BAD
    for argument in arguments
    for schedule in GOOD
    if argument in {field.name for field in dataclasses.fields(schedule)}
]


@pytest.mark.parametrize(("schedule", "argument", "value", "error", "text"), ERRORS)
def test_bad_arguments(schedule, argument, value, error, text):
    with pytest.raises(error, match=rf"^{argument} ?{text}"):
        schedule(**{**GOOD[schedule], argument: value})


def test_every_argument_has_an_error_row():
    arguments = {field.name for schedule in GOOD for field in dataclasses.fields(schedule)}
    assert arguments == {argument for row in BAD for argument in row[0]}


def test_numpy_scalars_become_plain_numbers():
    schedule = CosineDecay(np.float32(0.5), np.int64(10), alpha=np.float64(0.25), warmup_target=np.int8(1))
    assert [type(value) for value in schedule.get_config().values()] == [float, int, float, type(None), int, int]
    stairs = ExponentialDecay(1, 10, 0.5, staircase=np.bool_(True))
    assert (stairs.staircase, type(stairs.initial_learning_rate)) == (True, int)
    pieces = PiecewiseConstantDecay(np.array([1, 2]), np.array([1.0, 0.5, 0.25]))
    assert json.dumps(pieces.get_config()) == '{"boundaries": [1, 2], "values": [1.0, 0.5, 0.25], "name": null}'
    assert (pieces.boundaries, pieces.values) == ((1, 2), (1.0, 0.5, 0.25))


@every_schedule
def test_a_schedule_is_immutable(schedule):
    for name in schedule.get_config():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, name, 1)


@every_schedule
def test_equality_hash_and_repr(schedule):
    same = type(schedule)(**schedule.get_config())
    assert same == schedule
    assert hash(same) == hash(schedule)
    assert eval(repr(schedule)) == schedule
    assert [other for other in ALL.values() if other == schedule] == [schedule]
    assert schedule != schedule.get_config()


def test_equality_looks_at_class_and_arguments():
    arguments = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
    assert ExponentialDecay(**arguments) != InverseTimeDecay(**arguments)
    assert ExponentialDecay(**arguments) != ExponentialDecay(**arguments, name="other")
    assert hash(ExponentialDecay(1, 10, 0.5)) == hash(ExponentialDecay(1.0, 10.0, 0.5))


@every_schedule
def test_copies(schedule):
    for twin in (
        copy.copy(schedule),
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),
        type(schedule).from_config(schedule.get_config()),
        schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule)))),
    ):
        assert type(twin) is type(schedule)
        assert twin == schedule
        assert twin(123) == schedule(123)


class Halving(LearningRateSchedule):
    """What a user writes: two methods."""

    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / 2**step

    def get_config(self):
        return {"start": self.start}


def test_a_subclass_needs_two_methods():
    form = schedules.serialize(Halving(0.5))
    assert form == {"class_name": "Halving", "config": {"start": 0.5}}
    twin = schedules.deserialize(json.loads(json.dumps(form)), custom_objects={"Halving": Halving})
    assert (twin, twin(2), repr(twin)) == (Halving(0.5), 0.125, "Halving(start=0.5)")
    assert twin != Halving(0.25)
    assert len({Halving(0.5), twin}) == 1
    assert pickle.loads(pickle.dumps(twin)) == twin


def test_a_subclass_without_them_cannot_be_built():
    class Nothing(LearningRateSchedule):
        pass

    with pytest.raises(TypeError, match=r"abstract.*__call__.*get_config"):
        Nothing()


def test_hash_of_a_nested_config():
    assert hash(Halving({"a": [1, (2, 3)]})) == hash(Halving({"a": [1, (2, 3)]}))


def test_a_custom_object_goes_first():
    form = {"class_name": "CosineDecay", "config": {"start": 0.5}}
    assert schedules.deserialize(form, custom_objects={"CosineDecay": Halving}) == Halving(0.5)


def test_tf_keras_form():
    form = {
        "module": "keras.optimizers.schedules",
        "class_name": "PiecewiseConstantDecay",
        "config": {
            "boundaries": {"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": "int64"}},
            "values": [{"class_name": "__tensor__", "config": {"value": 1.0, "dtype": "float32"}}, 0.5, 0.25],
            "name": None,
        },
        "registered_name": None,
    }
    assert schedules.deserialize(form) == PiecewiseConstantDecay([1, 2], [1.0, 0.5, 0.25])
    custom = {"module": None, "class_name": "Halving", "config": {"start": 1}, "registered_name": "mine>Halving"}
    assert schedules.deserialize(custom, custom_objects={"mine>Halving": Halving}) == Halving(1)


CONFIG_ERRORS = [
    ("CosineDecay", None, TypeError, r"config must be a dictionary, got 'CosineDecay' of type str"),
    (
        {"config": {}},
        None,
        ValueError,
        r"config must have the entries 'class_name' and 'config', got \{'config': \{\}\}",
    ),
    ({"class_name": "CosineDecay"}, None, ValueError, r"must have the entries 'class_name' and 'config'"),
    (
        {"class_name": "Halving", "config": {}},
        {"Other": Halving},
        ValueError,
        (
            r"class_name must be one of CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, Other, "
            r"PiecewiseConstantDecay, PolynomialDecay, got 'Halving'; .*custom_objects"
        ),
    ),
    (
        {"class_name": "Halving", "config": {}},
        {"Halving": dict},
        TypeError,
        r"custom_objects\['Halving'\] must be a subclass of LearningRateSchedule, got <class 'dict'>",
    ),
    (
        {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 0}},
        None,
        ValueError,
        r"decay_steps must be greater than 0, got 0",
    ),
    (
        {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_stpes": 1}},
        None,
        TypeError,
        r"decay_stpes",
    ),
]


@pytest.mark.parametrize(("config", "custom_objects", "error", "message"), CONFIG_ERRORS)
def test_what_cannot_be_deserialized(config, custom_objects, error, message):
    with pytest.raises(error, match=message):
        schedules.deserialize(config, custom_objects)


def test_what_cannot_be_serialized():
    with pytest.raises(TypeError, match=r"schedule must be a LearningRateSchedule, got 0\.1 of type float"):
        schedules.serialize(0.1)


def test_import_loads_no_framework():
    code = "import sys, rmsprop.schedules; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "numpy" in loaded  # the list is a list
    assert not {"numba", "torch", "jax", "tensorflow", "tf_keras", "keras", "scipy"} & set(loaded)
