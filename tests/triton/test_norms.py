"""Norms on CUDA memory are summed in the order that the specification defines: to the CPU's bits."""

import numpy
import pytest
import torch
from arrays import TYPES, numbers
from engine_runs import Pair, same_bits, unaligned

from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.run import Run
from rmsprop._core.tables import Storage

SIZES = [0, 1, 127, 128, 129, 1024, 5000, 16383, 16384, 16385, 40000]


def cpu_sums(arrays):
    storage = Storage(arrays[0].dtype, *(3 * [numpy.dtype(numpy.float64)]))
    run = Run(Plan((Tensor(array.size, storage, (), clips=True) for array in arrays), steps=False))
    run.where["gradient"][:] = [array.ctypes.data for array in arrays]
    run.compile()
    return run.measure()


@pytest.mark.parametrize("place", [lambda tensor: tensor, unaligned], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("dtype", TYPES)
def test_sums_of_squares(dtype, place):
    gradients = {str(size): numbers(size, dtype, size) for size in SIZES}
    pair = Pair({"global_clipnorm": 1.0}, {name: numpy.zeros_like(array) for name, array in gradients.items()}, place)
    found = pair.engine.square_sums(pair.items(gradients)).numpy()
    same_bits(found, cpu_sums(list(gradients.values())))


def test_a_sum_in_another_order_has_other_bits():
    # Else the test above would show nothing.
    array = numbers(40000, numpy.float32, 40000).astype(numpy.float64)
    assert cpu_sums([array])[0] != numpy.sum(array * array)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("limit", [1e-3, 100.0, 1e9])
def test_clipped_steps(clip, limit):
    gradients = {str(size): numbers(size, seed=size) for size in (3, 16390, 0, 900)}
    pair = Pair({clip: limit}, {name: numpy.ones_like(array) for name, array in gradients.items()})
    pair.step_both(gradients)


@pytest.mark.parametrize("bad", [numpy.inf, numpy.nan, 1e30])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_norm_that_is_not_finite(clip, bad):
    gradients = {"good": numbers(5), "bad": numpy.array([bad, 1, 2], numpy.float32)}
    pair = Pair({clip: 1.0}, {name: numpy.ones_like(array) for name, array in gradients.items()})
    with numpy.errstate(all="ignore"):
        pair.step_both(gradients)
    assert numpy.isnan(pair.arrays["good"]).any() == (clip == "global_clipnorm" and not numpy.isfinite(bad))


def test_many_gradients_are_added_in_their_order():
    gradients = {str(i): numbers(3, seed=i) for i in range(70)}
    pair = Pair({"global_clipnorm": 1.0}, {name: numpy.ones_like(array) for name, array in gradients.items()})
    pair.step_both(gradients)


def test_sums_may_come_from_elsewhere():
    gradients = {"a": numbers(5), "b": numbers(7)}
    pair, other = (Pair({"global_clipnorm": 1.0}, gradients) for _ in range(2))
    squares = pair.engine.square_sums(pair.items(gradients)).clone()
    pair.step(gradients, squares=4 * squares)
    other.step({name: 2 * array for name, array in gradients.items()})
    # Half the scale, but only there of twice the gradient: powers of two change no bits.
    for name in gradients:
        assert torch.equal(4 * pair.slots[name]["velocity"], other.slots[name]["velocity"])
