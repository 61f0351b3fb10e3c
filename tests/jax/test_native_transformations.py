"""Nothing is lost by writing a step as one operation: JAX's transformations give what they give for the traced rule."""

import jax
import jax.numpy as jnp
import numpy
import oldest
import pytest
from native_runs import CALL, assert_near, assert_same, optimizer, text

OPTIONS = {
    "learning_rate": 0.01, "momentum": 0.9, "centered": True, "clipnorm": 0.5, "weight_decay": 1e-3, "use_ema": True,
    "ema_overwrite_frequency": 2, "initial_velocity": 0.5,
}  # fmt: skip
#: Two of a shape: where operations run one by one, each is compiled for every shape.
SHAPES = [(3, 4), (), (3, 4)]
_random = numpy.random.default_rng(0)
PARAMS = [jnp.asarray(_random.normal(size=shape), jnp.float32) for shape in SHAPES]
STACKED = [jnp.stack([one, 2 * one, one - 1]) for one in PARAMS]


def gradients(params):
    return [jnp.cos(one) for one in params]


def step(one, params):
    return one.apply_gradients(gradients(params), params, one.init(params))


def loss(one, params):
    """What two steps lead to: they are differentiated, as in meta-learning."""
    state = one.init(params)
    for _ in range(2):
        params, state = one.apply_gradients(gradients(params), params, state)
    return sum(jnp.sum(jnp.sin(leaf)) for leaf in params)


def rate_loss(one, rate):
    state = one.set_learning_rate(one.init(PARAMS), rate)
    return sum(jnp.sum(leaf) for leaf in one.apply_gradients(gradients(PARAMS), PARAMS, state)[0])


def scanned(one, params):
    def body(carry, _):
        params, state = carry
        carry = one.apply_gradients(gradients(params), params, state)
        return carry, carry[0][0]

    return jax.lax.scan(body, (params, one.init(params)), length=5)


def scan_loss(one, params):
    return jnp.sum(scanned(one, params)[1])


def looped(one, params):
    start = params, one.init(params)
    return jax.lax.fori_loop(0, 3, lambda _, carry: one.apply_gradients(gradients(carry[0]), *carry), start)


def chosen(one, params):
    state = one.init(params)
    return jax.lax.cond(
        params[1] > -100,
        lambda: one.apply_gradients(gradients(params), params, state),
        lambda: (params, state),
    )


#: Where the rule is traced on both ways, so that the bits are the same.
TRACED = {
    "vmap": lambda one: jax.vmap(lambda params: step(one, params))(STACKED),
    "vmap of some": lambda one: jax.vmap(lambda head: step(one, [head, *PARAMS[1:]]))(STACKED[0]),
    "vmap of the rate": lambda one: jax.vmap(lambda rate: rate_loss(one, rate))(jnp.array([0.1, 0.2])),
    "grad": lambda one: jax.grad(lambda params: loss(one, params))(PARAMS),
    "grad of the rate": lambda one: jax.grad(lambda rate: rate_loss(one, rate))(0.1),
    "vmap of grad": lambda one: jax.vmap(jax.grad(lambda params: loss(one, params)))(STACKED),
    "grad of vmap": lambda one: jax.grad(lambda all_: jax.vmap(lambda params: loss(one, params))(all_).sum())(STACKED),
    "jvp": lambda one: jax.jvp(lambda params: loss(one, params), (PARAMS,), (PARAMS,)),
    "linearize": lambda one: jax.linearize(lambda params: loss(one, params), PARAMS)[1](PARAMS),
    "hessian": lambda one: jax.hessian(lambda number: loss(one, [PARAMS[0], number, PARAMS[2]]))(PARAMS[1]),
    "checkpoint": lambda one: jax.grad(jax.checkpoint(lambda params: loss(one, params)))(PARAMS),
    "grad through scan": lambda one: jax.grad(lambda params: scan_loss(one, params))(PARAMS),
}

#: Those that run one operation after the other when nothing compiles them, which takes long. The others are made of the
#: same rules for single operations.
EAGER = ("vmap", "vmap of some", "vmap of the rate", "grad", "grad of the rate", "jvp")
CALLS = [(name, True) for name in TRACED] + [(name, False) for name in EAGER]

#: Where the kernel runs on one of them.
NATIVE = {"step": step, "scan": scanned, "loop": looped, "cond": chosen}


@pytest.fixture
def unoptimized():
    """XLA compiles in a hurry: for what is the same operations on both ways, however they are compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.matrix(2)
@pytest.mark.parametrize(
    ("name", "compiled"), CALLS, ids=[f"{name}-{'jit' if jit else 'eager'}" for name, jit in CALLS]
)
def test_traced(name, compiled, monkeypatch, unoptimized):
    def run(native):
        one = optimizer(monkeypatch, native, **OPTIONS)
        function = lambda: TRACED[name](one)  # noqa: E731
        return (jax.jit(function) if compiled else function)()

    assert_same(run(True), run(False))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.matrix(4)
def test_native(name, compiled, monkeypatch):
    def run(native):
        one = optimizer(monkeypatch, native, **OPTIONS)
        function = lambda params: NATIVE[name](one, params)  # noqa: E731
        assert (CALL in text(function, PARAMS)) == native
        return (jax.jit(function) if compiled else function)(PARAMS)

    # Measured 2.6e-7, after 5 steps: XLA fuses multiplications with additions.
    assert_near(run(True), run(False), 1e-6)


@pytest.mark.skipif(oldest.jax_is_traced(), reason="native steps need jaxlib 0.9; XLA fuses what is not disabled")
def test_disabled_jit(monkeypatch):
    one = optimizer(monkeypatch, **OPTIONS)
    with jax.disable_jit():
        found = step(one, PARAMS)
    assert_same(found, step(one, PARAMS))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("debugging", [jax.debug_nans, jax.debug_infs], ids=["nans", "infs"])
def test_debugging_says_what_a_bad_gradient_made(debugging, compiled, monkeypatch):
    one = optimizer(monkeypatch, **OPTIONS | {"clipnorm": None})
    state, bad = one.init(PARAMS), numpy.nan if debugging is jax.debug_nans else numpy.inf
    grads = [jnp.full(leaf.shape, bad) for leaf in PARAMS]
    apply = jax.jit(one.apply_gradients) if compiled else one.apply_gradients
    with debugging(True):
        with pytest.raises(FloatingPointError, match="encountered in"):
            apply(grads, PARAMS, state)
        found = apply(gradients(PARAMS), PARAMS, state)
    assert_same(found, step(one, PARAMS))


def test_shard_map_over_one_device(monkeypatch):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.PartitionSpec("x")
    options = OPTIONS | {"axis_name": "x"}

    def run(native):
        one = optimizer(monkeypatch, native, **options)
        mapped = jax.shard_map(
            lambda params: one.apply_gradients(gradients(params), params, one.init(params))[0],
            mesh=mesh, in_specs=spread, out_specs=spread,
        )  # fmt: skip
        return jax.jit(mapped)([PARAMS[0], PARAMS[2]])

    assert_same(run(True), run(False))


def test_named_sharding_on_one_device(monkeypatch):
    mesh = jax.make_mesh((1,), ("x",))
    params = jax.device_put([PARAMS[0]], jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x")))
    found, wanted = (step(optimizer(monkeypatch, native, **OPTIONS), params) for native in (True, False))
    assert_near(found, wanted, 1e-6)
    assert found[0][0].sharding == wanted[0][0].sharding
