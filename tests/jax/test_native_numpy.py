"""The custom call does what the optimizer for NumPy does, bit for bit."""

import cases
import jax
import numpy
import pytest
from arrays import TYPES
from jax_runs import precision, slots, tree
from native_runs import CALL, optimizer, text

import rmsprop

STEPS = 9


def by_name(arrays):
    # As JAX sorts a dictionary, on which the order of a sum depends.
    return {name: arrays[name] for name in sorted(arrays)}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", cases.PAIRWISE, ids=str)
@pytest.mark.matrix(5)
def test_bits(case, dtype, monkeypatch):
    kept = by_name(cases.variables(dtype))
    numpys = rmsprop.RMSprop(**case.options)
    with precision(dtype):
        jaxs, params = optimizer(monkeypatch, **case.options), tree(kept)
        state = jaxs.init(params)
        assert CALL in text(jaxs.apply_gradients, params, params, state)
        for place in range(STEPS):
            given = by_name(cases.at(cases.gradients(STEPS, dtype), place))
            numpys.apply_gradients([(given[name], kept[name]) for name in kept])
            params, state = jaxs.apply_gradients(tree(given), params, state)
        for name, variable in kept.items():
            numpy.testing.assert_array_equal(numpy.asarray(params[name]), variable, strict=True)
        ours = {slot: by_name(named) for slot, named in slots(state, params).items() if slot != "variables"}
        assert set(ours) == {slot.name for slot in rmsprop._core.slots.slots(jaxs._options)}
        for slot, named in ours.items():
            for place, one in enumerate(named.values()):
                theirs = numpys._state.slots[slot][place]
                numpy.testing.assert_array_equal(numpy.asarray(one), theirs, strict=True)


def test_a_large_gradient_s_norm(monkeypatch):
    """Norms are summed in the order of the kernels, over chunks and tensors of several types."""
    shapes = [(200_003,), (7, 5), (3, 40_000)]
    random = numpy.random.default_rng(1)
    types = ["float32", "float16", "float32"]
    variables = [random.normal(size=shape).astype(dtype) for shape, dtype in zip(shapes, types, strict=True)]
    gradients = [random.normal(size=shape).astype(dtype) for shape, dtype in zip(shapes, reversed(types), strict=True)]
    gradients[0] = gradients[0].astype("float32") * 3
    options = {"learning_rate": 2.0**-7, "global_clipnorm": 0.37, "weight_decay": 2.0**-8}
    jaxs, params = optimizer(monkeypatch, **options), [jax.numpy.array(one) for one in variables]
    new, _ = jaxs.apply_gradients(gradients, params, jaxs.init(params))
    rmsprop.RMSprop(**options).apply_gradients(list(zip(gradients, variables, strict=True)))
    for one, other in zip(new, variables, strict=True):
        numpy.testing.assert_array_equal(numpy.asarray(one), other, strict=True)


@pytest.mark.parametrize(
    ("options", "calls"), [({}, 2), ({"momentum": 0.9, "clipnorm": 1.0}, 4), ({"global_clipnorm": 1.0}, 1)], ids=str
)
@pytest.mark.matrix(1)
def test_many_tensors_are_several_calls(options, calls, monkeypatch):
    """XLA takes long for a call with many results; the norm of all gradients is for one that gets all of them."""
    arrays = [numpy.full(3, number + 1, numpy.float32) for number in range(256)]
    jaxs, params = optimizer(monkeypatch, learning_rate=2.0**-7, **options), [jax.numpy.array(one) for one in arrays]
    state = jaxs.init(params)
    assert text(jaxs.apply_gradients, params, params, state).count(CALL) == calls
    new, _ = jaxs.apply_gradients(params, params, state)
    rmsprop.RMSprop(learning_rate=2.0**-7, **options).apply_gradients([(one, one) for one in arrays])
    for one, other in zip(new, arrays, strict=True):
        numpy.testing.assert_array_equal(numpy.asarray(one), other, strict=True)


@pytest.mark.parametrize("limit", [numpy.nan, 0.0, -1.0, 2.0])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_limit_that_is_computed_in_the_step(clip, limit, monkeypatch):
    """Nobody has checked it: what is no limit shows as in the traced step, and is not left out."""

    def step(limit, native):
        one = optimizer(monkeypatch, native=native, learning_rate=0.5, **{clip: limit})
        params = {"w": jax.numpy.ones(3)}
        return one.apply_gradients({"w": jax.numpy.full(3, 100.0)}, params, one.init(params))[0]["w"]

    given = jax.numpy.float32(limit)
    assert CALL in text(lambda one: step(one, True), given)
    found, wanted = (
        numpy.asarray(jax.jit(lambda one, native=native: step(one, native))(given)) for native in (True, False)
    )
    numpy.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert numpy.isnan(found).all() == numpy.isnan(limit)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("size", [3, 5_000_000])
def test_subnormal_operands_are_numbers(size, compiled, monkeypatch):
    """The threads of XLA flush them; 20 MB are stepped on one of these threads, a few numbers on the caller's."""
    jaxs, params = optimizer(monkeypatch, learning_rate=1e-40), jax.numpy.zeros(size)
    step = jax.jit(jaxs.apply_gradients) if compiled else jaxs.apply_gradients
    found = step(jax.numpy.ones(size), params, jaxs.init(params))[0]
    w = numpy.zeros(size, numpy.float32)
    rmsprop.RMSprop(1e-40).apply_gradients([(numpy.ones(size, numpy.float32), w)])
    assert 0 < -w[0] < 2.0**-126
    numpy.testing.assert_array_equal(numpy.asarray(found), w)
