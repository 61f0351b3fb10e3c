"""Steps as most programs do them, one call each: eager, and of a `tf.function`; against tf_keras itself."""

import cases
import numpy
import original
import pytest
import runs

BOUNDS = {"float32": 1e-6, "float64": 1e-13}

#: Eager steps take long; these end after the averages were written into the variables three times.
EAGER_STEPS = 25


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(4)
def test_eager_steps(case, native, dtype, record_property):
    found = runs.deviation(runs.path(case, dtype, EAGER_STEPS, "eager", native=native), original.path(case, dtype))
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found


@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(3)
def test_all_native_ways_give_the_same_bits(case):
    """Eagerly, in a function for each step, and in one function that loops over the steps."""
    eager, function, loop = (
        runs.path(case, "float32", EAGER_STEPS, way, native=True) for way in ("eager", "function", "loop")
    )
    for slot, named in loop.items():
        for name, rows in named.items():
            runs.assert_bits(eager[slot][name], rows)
            runs.assert_bits(function[slot][name], rows)


def test_the_number_to_remember():
    """w = 10, gradient w, learning rate 0.1: one step."""
    for arguments in ({"native": True}, {"native": False}):
        for way in ("eager", "function"):
            optimizer, variables = runs.build({"learning_rate": 0.1}, {"w": numpy.float32(10)}, **arguments)
            found = runs.follow(optimizer, variables, {"w": numpy.full(1, 10, numpy.float32)}, way)
            assert f"{found['variables']['w'][0]:.6f}" == "9.683772"


def test_a_gradient_may_be_the_variable_itself():
    optimizer, variables = runs.build({"learning_rate": 0.1}, {"w": numpy.full(100_000, 10, numpy.float32)})
    optimizer.apply_gradients([(variables["w"], variables["w"])])
    assert set(variables["w"].numpy()) == {numpy.float32(9.683772)}
