"""Loss scales are taken out, and steps skipped, without asking the host."""

import numpy
import ours
import pytest
import torch
from arrays import EVERYTHING, TYPES, numbers
from engine_runs import Pair

GRADIENTS = {"w": numbers(1030), "v": numbers((3, 4), seed=1)}


def start(options, dtype=numpy.float32):
    return Pair(options, {name: numbers(array.shape, dtype, 9) for name, array in GRADIENTS.items()})


@pytest.mark.parametrize("scale", [65536.0, 3.0])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_scale_is_taken_out_as_unscale_does(scale, dtype):
    pair = start(EVERYTHING, dtype)
    scaled = {name: (array * numpy.float32(7)).astype(dtype) for name, array in GRADIENTS.items()}
    pair.step(scaled, grad_scale=torch.tensor(scale))
    # `GradScaler.unscale_` multiplies by the float32 of the reciprocal; half types stay in float32 here.
    inverse = numpy.float32(1 / numpy.float64(scale))
    wide = numpy.float64 if dtype is numpy.float64 else numpy.float32
    ours.step(pair.optimizer, pair.arrays, {name: array.astype(wide) * wide(inverse) for name, array in scaled.items()})
    pair.compare()


def test_the_sums_of_squares_are_without_the_scale():
    pair = start({"clipnorm": 1.0})
    items = pair.items({name: 4 * array for name, array in GRADIENTS.items()})
    with_scale = pair.engine.square_sums(items, torch.tensor([4.0])).clone()
    assert torch.equal(with_scale, pair.engine.square_sums(pair.items(GRADIENTS)))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_skipped_step_changes_nothing(shape):
    pair = start(EVERYTHING)
    pair.step_both(GRADIENTS)
    bad = {name: array * numpy.float32(numpy.inf) for name, array in GRADIENTS.items()}
    pair.step(bad, found_inf=torch.ones(shape), grad_scale=torch.full(shape, 2.0))
    pair.compare()
    pair.step_both(GRADIENTS)


def test_a_step_with_nothing_found_is_done():
    pair = start(EVERYTHING)
    pair.step(GRADIENTS, found_inf=torch.zeros(1))
    ours.step(pair.optimizer, pair.arrays, GRADIENTS)
    pair.compare()


def test_skipped_steps_do_not_count_for_overwriting():
    pair = start({"use_ema": True, "ema_overwrite_frequency": 2})
    for found in (0, 1, 1, 0, 0, 1, 0):
        pair.step(GRADIENTS, found_inf=torch.tensor(float(found)))
        if not found:
            ours.step(pair.optimizer, pair.arrays, GRADIENTS)
        pair.compare()


def test_iterations_beyond_float32_and_int32_are_counted():
    pair = start({"use_ema": True, "ema_overwrite_frequency": 3})
    begin = 3 * 2**40 - 2
    pair.iterations.fill_(begin)
    pair.optimizer.iterations = begin
    for _ in range(3):
        pair.step_both(GRADIENTS)
