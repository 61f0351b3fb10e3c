"""Keras's schedules as learning rates of steps that are not traced: the values that Keras gives, and only rates."""

import keras
import numpy
import pytest

from rmsprop.keras import RMSprop

_S = keras.optimizers.schedules

#: Schedules, and steps at which a quotient is on the edge of something.
_EDGES = [
    *((_S.PolynomialDecay(0.05, 150, 0.001, power=power), (0, 149, 150, 151)) for power in (0.5, 1.5, 2.5)),
    (_S.PolynomialDecay(0.05, 33, 0.0, power=0.5), (33,)),
    (_S.PolynomialDecay(0.05, 7, 0.001, power=1.5, cycle=True), (0, 7, 8, 14, 15, 21, 28)),
    (_S.PolynomialDecay(0.05, 300, 0.001, cycle=True), (300, 301, 600, 900)),
    (_S.ExponentialDecay(0.05, 7, 0.5, staircase=True), (6, 7, 14, 21, 63, 70)),
    (_S.InverseTimeDecay(0.05, 7, 0.5, staircase=True), (6, 7, 14, 21, 63, 70)),
    (_S.CosineDecay(0.05, 33, warmup_target=0.1, warmup_steps=7), (0, 6, 7, 39, 40, 41)),
    (_S.CosineDecayRestarts(0.05, 7), (6, 7, 20, 21, 48, 49)),
    (_S.PiecewiseConstantDecay([7, 14], [0.1, 0.2, 0.3]), (7, 8, 14, 15)),
]


def _moved(schedule, iterations):
    """Give the learning rates that steps go by: with gradient 1 and rho 0 a variable moves so far."""
    variable = keras.Variable(numpy.zeros(2, "float32"))
    optimizer = RMSprop(schedule, rho=0.0, epsilon=0.0)
    optimizer.build([variable])
    found = []
    for number in iterations:
        optimizer.iterations.assign(number)
        variable.assign(numpy.zeros(2, "float32"))
        optimizer.apply([keras.ops.ones(2)], [variable])
        found.append(-float(keras.ops.convert_to_numpy(variable.value)[0]))
    return found


class _Mine(_S.LearningRateSchedule):
    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return keras.ops.convert_to_tensor(self.value, "float32")


class Schedules:
    @pytest.mark.parametrize(("schedule", "iterations"), _EDGES, ids=lambda one: type(one).__name__)
    def test_a_step_goes_by_the_value_that_keras_gives(self, schedule, iterations):
        expected = [float(keras.ops.convert_to_numpy(schedule(keras.ops.convert_to_tensor(one)))) for one in iterations]
        numpy.testing.assert_allclose(_moved(schedule, iterations), expected, rtol=2e-6, atol=1e-9)

    @pytest.mark.parametrize(
        "schedule",
        [_S.ExponentialDecay(0.05, 10, -0.9), _Mine(float("nan")), _Mine(float("inf")), _Mine(-1.0)],
        ids=["nan of Keras's own", "nan", "inf", "negative"],
    )
    def test_what_is_no_rate_is_refused_and_nothing_moves(self, schedule):
        variable = keras.Variable(numpy.ones(2, "float32"))
        optimizer = RMSprop(schedule)
        optimizer.build([variable])
        optimizer.iterations.assign(5)
        with pytest.raises(ValueError, match=r"learning_rate\(5\)=.* is not a finite number at least 0"):
            optimizer.apply([keras.ops.ones(2)], [variable])
        numpy.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), [1.0, 1.0])
        assert int(optimizer.iterations.value) == 5
