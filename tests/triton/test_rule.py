"""Triton's interpreter runs the rule, for every set of options, to the bits that it has on plain arrays."""

import numpy
import pytest
import rules
import triton
import triton.language as tl

from rmsprop._core import rule


@triton.jit
def sqrt(x):
    return tl.sqrt_rn(x)


@triton.jit
def divide(x, y):
    return tl.div_rn(x, y)


@triton.jit
def select(condition, x, y):
    return tl.where(condition, x, y)


update = triton.jit(rule.bind(sqrt=sqrt, divide=divide, select=select, tl=tl))


@triton.jit
def kernel(
    results, gradient, variable, velocity, momentum, average_gradient, average, learning_rate, clip_scale, clip_value,
    weight_decay, rho, rho_c, mu, epsilon, ema_momentum, ema_momentum_c, overwrite, SIZE: tl.constexpr,
):  # fmt: skip
    place = tl.arange(0, SIZE)
    g = tl.load(gradient + place)
    w = tl.load(variable + place)
    v = tl.load(velocity + place)
    m = None
    if momentum is not None:
        m = tl.load(momentum + place)
    a = None
    if average_gradient is not None:
        a = tl.load(average_gradient + place)
    s = None
    if average is not None:
        s = tl.load(average + place)
    new = update(
        g, w, v, m, a, s, learning_rate, clip_scale, clip_value, weight_decay, rho, rho_c, mu, epsilon, ema_momentum,
        ema_momentum_c, overwrite,
    )  # fmt: skip
    tl.store(results + place, new[0])
    tl.store(results + SIZE + place, new[1])
    tl.store(results + 2 * SIZE + place, new[2])
    tl.store(results + 3 * SIZE + place, new[3])
    tl.store(results + 4 * SIZE + place, new[4])


@pytest.mark.parametrize("on", rules.VARIANTS)
def test_bits_equal_plain_arrays(on):
    import torch

    given = rules.arguments(on)
    for name, value in given.items():
        if isinstance(value, numpy.ndarray):
            given[name] = torch.from_numpy(value.copy())
        elif isinstance(value, numpy.floating):
            given[name] = float(value)  # Triton passes a float on as float32, which it is already
    results = torch.zeros(5, 64)
    with numpy.errstate(all="ignore"):
        kernel[(1,)](results, **given, SIZE=64)
    for found, wanted in zip(results.numpy(), rules.expected(on), strict=True):
        numpy.testing.assert_array_equal(found, wanted)
