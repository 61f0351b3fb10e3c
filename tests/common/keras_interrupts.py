"""Interrupts within a step: what follows is what an optimizer made anew from the state left does."""

import keras
import numpy
import pytest
from interrupts import check_each_line, interrupted

from rmsprop.keras import RMSprop


def _make():
    variables = [keras.Variable(numpy.ones(3, "float32")), keras.Variable(numpy.ones((2, 2), "float32"))]
    return variables, RMSprop(0.1, momentum=0.9, weight_decay=0.1, use_ema=True, ema_overwrite_frequency=3)


def _step(run):
    variables, optimizer = run
    optimizer.apply(
        [keras.ops.convert_to_tensor(numpy.full(one.shape, 0.5, "float32")) for one in variables], variables
    )


def _begun():
    run = _make()
    _step(run)
    # What is told to a step in Python must not be lost by an interrupt of it.
    run[1].learning_rate = 0.01
    return run


def _anew(run):
    variables, optimizer = _make()
    optimizer.build(variables)
    for one, other in zip((*variables, *optimizer.variables), (*run[0], *run[1].variables), strict=True):
        one.assign(keras.ops.convert_to_numpy(other.value).copy())
    return variables, optimizer


def _read(run):
    variables, optimizer = run
    return {
        str(place): keras.ops.convert_to_numpy(one.value).copy()
        for place, one in enumerate((*variables, *optimizer.variables))
    }


class Interrupts:
    """Tests that a backend's folder runs; `every` is how many lines are between two interrupts."""

    every = 10

    @pytest.mark.slow
    def test_a_later_step_knows_nothing_but_the_state(self):
        assert check_each_line(_begun, _step, _anew, _read, self.every) > 1

    def test_an_interrupted_first_step_leaves_no_state_of_an_abandoned_build(self):
        whole = _make()
        _step(whole)
        names, line, count = len(whole[1].variables), 0, 0
        while True:
            run = _make()
            optimizer = run[1]
            if not interrupted(lambda run=run: run[1].build(run[0]), line):
                break
            _step(run)
            _step(run)
            assert len(optimizer.variables) == len({one.path for one in optimizer.variables}) == names
            assert int(optimizer.iterations.value) == 2
            line, count = line + self.every, count + 1
        assert count > 1
