"""Under jit, scan, vmap and grad; what is compiled, and how often."""

import jax
import jax.numpy as jnp
import numpy
import optax
import pytest
from arrays import EVERYTHING, numbers

from rmsprop.jax import RMSprop, rmsprop

PARAMS = {"a": jnp.asarray(numbers((3, 4))), "b": jnp.asarray(numbers(5, seed=1)), "c": jnp.zeros(0)}


def gradients(seed):
    return {name: jnp.asarray(numbers(one.shape, seed=seed)) for name, one in PARAMS.items()}


def by_transformation(**options):
    transformation = rmsprop(**options)

    def step(grads, params, state):
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return transformation.init, step


def by_optimizer(**options):
    optimizer = RMSprop(**options)
    return optimizer.init, optimizer.apply_gradients


ways = pytest.mark.parametrize("make", [by_optimizer, by_transformation])


def walk(init, step, steps=6):
    params = PARAMS
    state = init(params)
    for seed in range(steps):
        params, state = step(gradients(seed), params, state)
    return params, state


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(numpy.testing.assert_array_equal, one, other)


def test_both_ways_agree_at_every_step(monkeypatch):
    """A transformation gives a difference, which added to the old value is not always the new one."""
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    init, step = by_optimizer(**EVERYTHING, learning_rate=0.125)
    other = jax.jit(by_transformation(**EVERYTHING, learning_rate=0.125)[1])
    params, state, worst = PARAMS, init(PARAMS), 0.0
    theirs = by_transformation(**EVERYTHING)[0](PARAMS)
    for seed in range(50):
        found, theirs = other(gradients(seed), params, theirs)
        new, state = step(gradients(seed), params, state)
        for name in ("a", "b"):
            largest = numpy.maximum(abs(params[name]), abs(new[name]))
            worst = max(worst, (abs(found[name] - new[name]) / numpy.spacing(largest)).max())
        params = new
    assert worst <= 2, worst  # measured 1


@ways
def test_scan_is_the_loop(make):
    init, step = make(**EVERYTHING)
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *map(gradients, range(6)))

    def body(carry, grads):
        params, state = carry
        return step(grads, params, state), None

    found, _ = jax.jit(lambda: jax.lax.scan(body, (PARAMS, init(PARAMS)), stacked))()
    assert_equal(found, walk(init, jax.jit(step)))


@ways
def test_vmap_steps_many_models(make):
    init, step = make(**EVERYTHING)
    stack = lambda *rows: jnp.stack(rows)  # noqa: E731
    models = [gradients(seed) for seed in range(10, 13)]
    grads = [gradients(seed) for seed in range(20, 23)]
    params = jax.tree.map(stack, *models)
    state = jax.vmap(init)(params)
    new, _ = jax.jit(jax.vmap(step))(jax.tree.map(stack, *grads), params, state)
    for place, (model, grad) in enumerate(zip(models, grads, strict=True)):
        alone, _ = jax.jit(step)(grad, model, init(model))
        for name, one in alone.items():
            # Measured 0; a norm may be summed in another order.
            numpy.testing.assert_allclose(new[name][place], one, rtol=1e-6, atol=1e-6)


@ways
def test_the_second_step_and_other_numbers_compile_nothing(make):
    init, step = make(**EVERYTHING)
    compiled = jax.jit(step)
    walk(init, compiled)
    assert compiled._cache_size() == 1


def test_a_step_that_is_not_traced_is_compiled_once(compiled_steps):
    optimizer = RMSprop(**EVERYTHING)
    found = walk(optimizer.init, optimizer.apply_gradients)
    assert compiled_steps() == 1
    assert_equal(found, walk(optimizer.init, jax.jit(RMSprop(**EVERYTHING).apply_gradients)))


def test_without_compiling():
    optimizer = RMSprop(**EVERYTHING, jit_compile=False)
    found, expected = (walk(one.init, one.apply_gradients) for one in (optimizer, RMSprop(**EVERYTHING)))
    told = optimizer.explain({"w": jnp.ones(3)}).variables["w"]
    assert (told.way, told.compiler, told.reason) == ("traced", "", "jit_compile=False")
    # Measured 1.2e-7: XLA fuses multiplications with additions where it compiles both.
    jax.tree.map(lambda one, other: numpy.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6), found, expected)


@pytest.mark.parametrize("given", [10.0, jnp.asarray(10.0), numpy.float32(10), numpy.array(10.0, numpy.float32)])
def test_weak_types_do_not_compile_twice(given, compiled_steps):
    optimizer, params = RMSprop(0.1), {"w": given}
    state = optimizer.init(params)
    for _ in range(3):
        params, state = optimizer.apply_gradients({"w": jnp.float32(1)}, params, state)
    assert compiled_steps() == 1
    assert (params["w"].dtype, params["w"].weak_type) == (jnp.float32, False)


def test_donated_memory_is_used_and_the_old_values_stay_without():
    optimizer = RMSprop(**EVERYTHING)
    params = jax.tree.map(jnp.copy, PARAMS)
    state, before = optimizer.init(params), jax.tree.map(numpy.array, params)
    optimizer.apply_gradients(gradients(1), params, state)
    assert_equal(params, before)
    step = jax.jit(optimizer.apply_gradients, donate_argnums=(1, 2))
    expected = jax.jit(optimizer.apply_gradients)(gradients(1), params, state)
    found = step(gradients(1), params, state)
    assert params["a"].is_deleted()
    assert state.averages["a"].is_deleted()
    assert_equal(found, expected)
    found = step(gradients(2), *found)  # what was given away is not used twice


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 2.0}], ids=str)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "centered": True, "use_ema": True}], ids=["plain", "more"])
@ways
@pytest.mark.matrix(3)
def test_a_derivative_through_steps(make, options, clip):
    """By the learning rate, against finite differences in float64."""
    with jax.enable_x64(True):
        start = jnp.array([1.0, -2.0, 0.5, 0.0])

        def after(rate):
            init, step = make(learning_rate=rate, **options, **clip)
            w, state = start, init(start)
            for _ in range(3):
                w, state = step(3 * w, w, state)
            return (w**2).sum()

        derivative, value = jax.jit(jax.grad(after))(0.01), jax.jit(after)
        finite = (value(0.01 + 1e-6) - value(0.01 - 1e-6)) / 2e-6
        # Measured 2e-11, of the finite difference itself.
        numpy.testing.assert_allclose(derivative, finite, rtol=1e-9)
        assert abs(finite) > 0.01


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@ways
def test_a_derivative_is_finite_where_a_norm_is_none_or_huge(make, clip):
    init, step = make(**{clip: 1.0})

    @jax.jit
    @jax.grad
    def derivative(grads):
        return step(grads, PARAMS["b"], init(PARAMS["b"]))[0].sum()

    for gradient in (0.0, 1e-30, 1e25):
        assert numpy.isfinite(derivative(jnp.full(5, gradient))).all(), gradient


@pytest.mark.parametrize(("options", "loops"), [({}, 2), (EVERYTHING | {"global_clipnorm": None}, 6)])
@ways
def test_the_loops_that_xla_makes(make, options, loops, monkeypatch):
    """On a CPU one for each result and one for the choice to overwrite; GPUs get fewer."""
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    init, step = make(**options)
    w = jnp.ones(100_000)
    text = jax.jit(step, donate_argnums=(1, 2)).lower(w, w, init(w)).compile().as_text()
    entry = text[text.index("ENTRY") :]
    assert len([line for line in entry.splitlines() if "100000" in line and " fusion(" in line]) == loops, entry
