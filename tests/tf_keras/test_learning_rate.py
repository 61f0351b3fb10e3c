"""Learning rates: numbers, schedules of ours and of tf_keras, functions; the rate that a step used is read off it."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

MODES = [(native, way) for native in (True, False) for way in ("eager", "function")]
modes = pytest.mark.parametrize(
    ("native", "way"), MODES, ids=[f"{'native' if native else 'traced'}-{way}" for native, way in MODES]
)


def rates(learning_rate, steps, native=True, way="eager"):
    """The rates that successive steps used: with these options, w - rate * gradient."""
    optimizer, w = RMSprop(learning_rate, rho=1.0, epsilon=1.0, native=native), tf.Variable(0.0, dtype=tf.float64)
    step = runs.WAYS[way](lambda: optimizer.apply_gradients([(tf.constant(-1.0, tf.float64), w)]))
    found = []
    for _ in range(steps):
        w.assign(0.0)
        step()
        found.append(w.numpy())
    return found


SCHEDULES = {
    "ExponentialDecay": (0.1, 4, 0.5),
    "InverseTimeDecay": (0.1, 4, 0.5, True),
    "PiecewiseConstantDecay": ([2, 4], [0.1, 0.05, 0.3]),
    "PolynomialDecay": (0.1, 4, 0.01, 2.0, True),
    "CosineDecay": (0.1, 8, 0.0, None, 0.2, 3),
    "CosineDecayRestarts": (0.1, 3),
}


@modes
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.matrix
def test_schedules_of_ours(name, native, way):
    """To the bit what the schedule says of a tensor, and near what it says of a number."""
    schedule = getattr(schedules, name)(*SCHEDULES[name])
    found = rates(schedule, 10, native, way)
    assert found == [schedule(tf.constant(step)).numpy() for step in range(10)]
    # Measured up to 3e-8 of the largest: float32.
    numpy.testing.assert_allclose(found, [schedule(step) for step in range(10)], rtol=0, atol=2e-8)


@modes
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.matrix
def test_schedules_of_tf_keras(name, native, way):
    schedule = getattr(tf_keras.optimizers.schedules, name)(*SCHEDULES[name])
    expected = [float(schedule(tf.constant(step))) for step in range(10)]
    # Measured up to 1.7e-8, of a cosine: a graph computes a quotient otherwise than eager steps.
    numpy.testing.assert_allclose(rates(schedule, 10, native, way), expected, rtol=0, atol=3e-8)


class Halving(schedules.LearningRateSchedule):
    """A user's: Python code, which needs a number."""

    def __call__(self, step):
        assert type(step) is int
        return 0.5**step if step else 1

    def get_config(self):
        return {}


class Their(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A user's of tf_keras's kind: TensorFlow's code."""

    def __call__(self, step):
        return 0.5 ** tf.cast(step, tf.float32)

    def get_config(self):
        return {}


@modes
@pytest.mark.parametrize("schedule", [Halving, Their])
def test_schedules_of_users(schedule, native, way):
    assert rates(schedule(), 4, native, way) == [1, 0.5, 0.25, 0.125]


@modes
def test_functions_of_the_step_are_called_at_every_step(native, way):
    seen = []

    def function(step):
        seen.append(step)
        return numpy.float64(1 / (1 + step))

    assert rates(function, 3, native, way) == [1, 0.5, numpy.float32(1 / 3)]
    assert seen == [0, 1, 2]
    assert {type(step) for step in seen} == {int}


@modes
def test_functions_of_nothing_are_called_at_every_step(native, way):
    """tf_keras calls them once, at construction."""
    given = iter([1.0, 0.5, 0.75])
    assert rates(lambda: next(given), 3, native, way) == [1, 0.5, 0.75]


def test_where_the_original_reads_a_function_once():
    calls = []
    optimizer, w = tf_keras.optimizers.RMSprop(lambda: calls.append(0) or 0.5), tf.Variable([1.0])
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([1.0]), w)])
    assert len(calls) == 1


@modes
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), "x", None])
def test_what_a_function_returns_is_checked_before_anything_changes(value, native, way):
    w = tf.Variable([1.0, 2.0])
    optimizer = RMSprop(lambda step: value, momentum=0.9, native=native)
    optimizer.build([w])
    optimizer.iterations.assign(17)
    step = runs.WAYS[way](lambda: optimizer.apply_gradients([(tf.ones(2), w)]))
    with pytest.raises((ValueError, TypeError, tf.errors.OpError), match=rf"learning_rate\(17\)={value!r} is not a"):
        step()
    assert w.numpy().tolist() == [1, 2]
    assert [variable.numpy().tolist() for variable in optimizer.variables] == [17, [0, 0], [0, 0]]


@pytest.mark.parametrize("function", [lambda step=0: 0.1, lambda a=1, b=2: 0.1])
def test_a_function_that_may_be_called_either_way_is_refused(function):
    with pytest.raises(TypeError, match=r"learning_rate=<function .*with the step or with nothing"):
        RMSprop(function)


# Read and set --------------------------------------------------------------------------------------------------------


def test_a_number_is_a_variable():
    optimizer = RMSprop(0.1)
    assert isinstance(optimizer.learning_rate, tf.Variable)
    assert optimizer.learning_rate.dtype == tf.float32
    assert optimizer.learning_rate.numpy() == optimizer.lr.numpy() == numpy.float32(0.1)


@modes
@pytest.mark.parametrize(
    "set_rate",
    [
        lambda optimizer, rate: setattr(optimizer, "learning_rate", rate),
        lambda optimizer, rate: setattr(optimizer, "lr", rate),
        lambda optimizer, rate: setattr(optimizer, "learning_rate", tf.constant(rate)),
        lambda optimizer, rate: setattr(optimizer, "learning_rate", numpy.float64(rate)),
        lambda optimizer, rate: optimizer.learning_rate.assign(rate),
        lambda optimizer, rate: tf_keras.backend.set_value(optimizer.lr, rate),
    ],
    ids=["learning_rate", "lr", "tensor", "numpy", "assign", "set_value"],
)
def test_a_new_number_counts_from_the_next_step(set_rate, native, way):
    """Without a retrace: the traced function reads the variable."""
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0, native=native), tf.Variable(0.0)
    optimizer.build([w])  # TensorFlow traces a function twice that makes variables
    step = runs.WAYS[way](lambda: optimizer.apply_gradients([(tf.constant(-1.0), w)]))
    step()
    set_rate(optimizer, 0.25)
    step()
    assert w.numpy() == 1.25
    assert optimizer.learning_rate.numpy() == optimizer.lr.numpy() == optimizer.get_config()["learning_rate"] == 0.25
    if way == "function":
        assert step.experimental_get_tracing_count() == 1


def test_a_rate_may_be_set_within_a_function():
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0), tf.Variable(0.0)

    @tf.function
    def step(rate):
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(tf.constant(-1.0), w)])

    step(tf.constant(0.5))
    step(tf.constant(0.25))
    assert w.numpy() == 0.75
    assert optimizer.learning_rate.numpy() == 0.25


@pytest.mark.parametrize(
    ("value", "error"), [(-0.5, ValueError), (float("nan"), ValueError), ("x", TypeError), (None, TypeError),
                         (tf.constant(-1.0), ValueError), (tf.constant([1.0, 2.0]), (TypeError, ValueError))]
)  # fmt: skip
def test_a_bad_number_is_refused_and_the_old_one_stays(value, error):
    optimizer = RMSprop(0.5)
    with pytest.raises(error, match="learning_rate"):
        optimizer.learning_rate = value
    assert optimizer.learning_rate.numpy() == 0.5
    with pytest.raises(error, match="learning_rate"):
        RMSprop(value)


RULES = {
    "ours": lambda: schedules.ExponentialDecay(0.5, 1, 0.5),
    "theirs": lambda: tf_keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5),
    "function": lambda: lambda step: 0.5 * 0.5**step,
    "nothing": lambda: lambda: 0.125,
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_shows_the_rate_of_the_next_step(rule):
    """tf_keras shows that of the previous one."""
    optimizer = RMSprop(RULES[rule]())
    optimizer.iterations.assign(2)
    assert optimizer.learning_rate.numpy() == optimizer.lr.numpy() == 0.125


@modes
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_may_replace_a_number(rule, native, way):
    """tf_keras raises an AttributeError before the next step."""
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0, native=native), tf.Variable(0.0)
    pairs = [(tf.constant(-1.0), w)]
    runs.WAYS[way](lambda: optimizer.apply_gradients(pairs))()
    optimizer.learning_rate = RULES[rule]()
    for _ in range(2):
        runs.WAYS[way](lambda: optimizer.apply_gradients(pairs))()
    assert w.numpy() == 1 + (0.25 if rule == "nothing" else 0.25 + 0.125)


@pytest.mark.parametrize("rule", RULES)
def test_a_number_cannot_replace_a_rule(rule):
    optimizer = RMSprop(RULES[rule]())
    for name in ("learning_rate", "lr"):
        with pytest.raises(TypeError, match=r"learning_rate=0\.1 cannot be set while"):
            setattr(optimizer, name, 0.1)
    optimizer.iterations.assign(2)
    assert optimizer.learning_rate.numpy() == 0.125
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 1, 0.5)
    assert optimizer.learning_rate.numpy() == 0.25


# Within XLA ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_within_xla(name):
    schedule = getattr(schedules, name)(*SCHEDULES[name])
    expected = [schedule(tf.constant(step)).numpy() for step in range(10)]
    # Measured up to 1.2e-7, of a cosine.
    numpy.testing.assert_allclose(rates(schedule, 10, way="xla"), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rate", [lambda step: 0.5, lambda: 0.5, Halving()], ids=["step", "nothing", "class"])
def test_functions_within_xla_are_refused(rate):
    with pytest.raises(NotImplementedError, match=r"learning_rate=.* is a Python function, which a step compiled by"):
        rates(rate, 1, way="xla")


def test_a_number_within_xla_may_change():
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0), tf.Variable(0.0)
    step = tf.function(lambda: optimizer.apply_gradients([(tf.constant(-1.0), w)]), jit_compile=True)
    step()
    optimizer.learning_rate = 0.25
    step()
    assert w.numpy() == 1.25
