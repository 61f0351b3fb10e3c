"""Random options, storages, layouts and gradients, step by step against the oracle and the rule on plain arrays.

Where everything is float64 and no norm clips, variables and state are the oracle's to the bit; wherever numbers are
stored otherwise, or norms are summed, the kernels' are those of ``jit_compile=False`` on contiguous arrays to the bit.
"""

import warnings

import ml_dtypes
import numpy
import pytest
from reference import Reference

from rmsprop import RMSprop, RowSparse

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:variables without a gradient")]

STEPS = 25

#: Sets of options, each of which compiles kernels of its own: few, as each of them takes seconds.
KERNELS = [
    {}, {"centered": True, "clipvalue": 0.5},
    {"momentum": 0.5, "centered": True, "weight_decay": 0.1, "global_clipnorm": 2.0, "use_ema": True},
]  # fmt: skip

#: Types, each with how many of the sets.
KINDS = [(numpy.float64, 3), (numpy.float32, 3), (numpy.float16, 1), (ml_dtypes.bfloat16, 1)]


def options(random, sets):
    chosen = dict(KERNELS[random.integers(sets)])
    chosen |= {"rho": random.choice([0.0, 0.5, 0.9, 1.0]), "epsilon": random.choice([1e-7, 1.0, 1e-30])}
    chosen |= {"initial_velocity": random.choice([0.0, 1.0]), "learning_rate": random.choice([0.0, 0.001, 0.25])}
    if "use_ema" in chosen:
        chosen |= {"ema_momentum": random.choice([0.0, 0.9]), "ema_overwrite_frequency": int(random.integers(1, 5))}
    return {name: value if isinstance(value, bool | int) else float(value) for name, value in chosen.items()}


def lying(random, array):
    """Give an array of the same numbers that lies in memory in some other way."""
    way = random.integers(4)
    if way == 1:
        return numpy.asfortranarray(array)
    if way == 2:
        return numpy.repeat(array, 2, -1)[..., ::2]
    return array[::-1].copy()[::-1] if way == 3 else array


def gradient(random, shape, dtype):
    """Give a gradient, and the dense array in C order that it stands for; or None twice."""
    if random.random() < 0.1:
        return None, None
    scale = random.choice([1e-3, 1.0, 1e3, 1e-20, float(numpy.finfo(numpy.float32).tiny)], shape)
    dense = numpy.asarray(random.normal(size=shape) * scale)
    dense[random.random(shape) < 0.2] = 0.0
    if random.random() < 0.1:
        dense.flat[random.integers(dense.size)] = random.choice([numpy.inf, -numpy.inf, numpy.nan])
    with numpy.errstate(all="ignore"):
        dense = dense.astype(dtype)
    if random.random() < 0.3:
        rows = random.integers(0, shape[0], random.integers(0, 2 * shape[0]))
        sparse = RowSparse(rows, lying(random, dense[rows]), shape)
        with numpy.errstate(all="ignore"):
            return sparse, sparse.to_dense()
    return lying(random, dense), dense


def given(random, variables):
    while True:
        found = {name: gradient(random, w.shape, w.dtype) for name, w in variables.items()}
        if any(dense is not None for _, dense in found.values()):
            return ({name: one[part] for name, one in found.items()} for part in (0, 1))


def same(found, expected, what):
    """The same bits; any NaN is as good as another."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    nan = numpy.isnan(expected)
    assert (numpy.isnan(found) == nan).all(), what
    left, right = (numpy.where(nan, 0, one).astype(expected.dtype).tobytes() for one in (found, expected))
    assert left == right, what


def step(optimizer, gradients, variables):
    with warnings.catch_warnings(), numpy.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        optimizer.minimize(lambda: (0, gradients), variables)


@pytest.mark.parametrize("seed", range(60))
def test_random_steps(seed):
    random = numpy.random.default_rng(seed)
    dtype, sets = KINDS[seed % len(KINDS)]
    chosen = options(random, sets)
    shapes = {"a": (5,), "b": (4, 6), "c": (3, 2, 4), "d": (300, 70)}
    starts = {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    variables = {name: lying(random, w.copy()) for name, w in starts.items()}
    plain = {name: w.copy() for name, w in starts.items()}
    kernels, rule = RMSprop(**chosen), RMSprop(jit_compile=False, **chosen)
    oracle = Reference(starts, **chosen)
    exact = dtype == numpy.float64 and not {"clipnorm", "global_clipnorm"} & chosen.keys()
    kernels.build(variables)
    rule.build(plain)
    for number in range(STEPS):
        if random.random() < 0.2:
            kernels.learning_rate = rule.learning_rate = oracle.learning_rate = float(random.choice([0.0, 0.01, 0.5]))
        mine, dense = given(random, variables)
        step(kernels, mine, variables)
        step(rule, dense, plain)
        oracle.step(dense)
        for name, w in variables.items():
            same(w, plain[name], f"step {number}, {name}")
            if exact:
                same(w, oracle.variables[name], f"step {number}, {name}, oracle")
        for key, array in kernels.variables.items():
            slot, _, name = key.partition("/")
            same(array, rule.variables[key], f"step {number}, {key}")
            if exact and name:
                same(array, getattr(oracle, slot)[name], f"step {number}, {key}, oracle")
