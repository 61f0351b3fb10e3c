"""Steps of ever other sets of variables, outside of functions: they compile a bounded number of functions."""

import gc
import itertools
import time

import jax
import keras
import numpy
import pytest
from compilations import Compilations

from rmsprop.keras import RMSprop

#: More sets than any function is compiled for.
_SETS = [list(chosen) for size in (1, 2, 3) for chosen in itertools.combinations(range(4), size)]

_OPTIONS = [
    {"global_clipnorm": 0.5},
    {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "gradient_accumulation_steps": 2, "global_clipnorm": 0.5},
    {"loss_scale_factor": 4.0, "global_clipnorm": 0.5, "native": False},
    {"clipnorm": 0.5},
    {"clipnorm": 0.5, "native": False},
    {"jit_compile": False},
    {"jit_compile": False, "global_clipnorm": 0.5, "gradient_accumulation_steps": 2},
]


def _variables(shapes):
    return [keras.Variable(numpy.linspace(-1, 1, rows * 2, dtype="float32").reshape(rows, 2)) for rows in shapes]


def _gradient(variable, number):
    return keras.ops.convert_to_tensor(
        numpy.cos(numpy.arange(variable.shape[0] * 2) + number).reshape(variable.shape), "float32"
    )


def _round(optimizer, variables, number):
    for chosen in _SETS:
        optimizer.apply(
            [_gradient(variables[place], number) for place in chosen], [variables[place] for place in chosen]
        )


def _made(make, shapes=(3, 4, 5, 6), **options):
    variables, optimizer = _variables(shapes), make(0.01, **options)
    optimizer.build(variables)
    return optimizer, variables


@pytest.mark.parametrize(
    "options", [_OPTIONS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in _OPTIONS[1:])], ids=str
)
def test_compiles_nothing_in_the_third_round_and_is_right(options):
    optimizer, variables = _made(RMSprop, **options)
    for number in range(2):
        _round(optimizer, variables, number)
    compilations = Compilations()
    _round(optimizer, variables, 2)
    assert compilations.count == 0
    theirs = {name: value for name, value in options.items() if name not in ("jit_compile", "native")}
    original, others = _made(keras.optimizers.RMSprop, **theirs)
    for number in range(3):
        _round(original, others, number)
    for variable, other in zip(variables, others, strict=True):
        numpy.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=2e-5, atol=2e-6)


def test_sets_of_equal_shapes_are_compiled_once():
    optimizer, (trunk, *heads) = _made(RMSprop, [3, *[5] * 30])
    step = [(_gradient(trunk, 0), trunk), (_gradient(heads[0], 0), heads[0])]
    optimizer.apply_gradients(step)
    compilations = Compilations()
    for head in heads:
        optimizer.apply_gradients([step[0], (step[1][0], head)])
    assert compilations.count == 0


def test_an_optimizer_without_owner_takes_its_functions_along():
    variables = _variables([3, 4])

    def run():
        optimizer = RMSprop(0.01)
        optimizer.apply([_gradient(one, 0) for one in variables], variables)

    run()
    gc.collect()
    before = len(jax.live_arrays())
    for _ in range(3):
        run()
    gc.collect()
    assert len(jax.live_arrays()) <= before


def test_alternating_sets_are_no_slower_than_the_originals():
    times = {}
    for make in (RMSprop, keras.optimizers.RMSprop):
        optimizer, variables = _made(make)
        _round(optimizer, variables, 0)
        found = []
        for _ in range(10):
            start = time.perf_counter()
            _round(optimizer, variables, 0)
            found.append(time.perf_counter() - start)
        times[make] = min(found)
    assert times[RMSprop] < times[keras.optimizers.RMSprop]
