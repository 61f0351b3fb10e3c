"""Libraries that take an optimizer: Flax, Equinox and Orbax."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy
import optax
import orbax.checkpoint as ocp
import pytest
from arrays import EVERYTHING, numbers
from flax import linen, nnx
from flax.training.train_state import TrainState

from rmsprop.jax import RMSprop, rmsprop

X, Y = jnp.asarray(numbers((8, 3))), jnp.asarray(numbers((8, 2), seed=1))


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(numpy.testing.assert_array_equal, one, other)


def test_train_state():
    model = linen.Dense(2)
    params = model.init(jax.random.key(0), X)
    training = TrainState.create(apply_fn=model.apply, params=params, tx=rmsprop(0.0625, **EVERYTHING))

    def loss(params):
        return ((model.apply(params, X) - Y) ** 2).mean()

    @jax.jit
    def step(training):
        value, grads = jax.value_and_grad(loss)(training.params)
        return training.apply_gradients(grads=grads), value

    values = []
    for _ in range(50):
        training, value = step(training)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
    assert training.opt_state.iterations == training.step == 50


def test_nnx_optimizer():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, rmsprop(0.0625, **EVERYTHING), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        value, grads = nnx.value_and_grad(lambda model: ((model(X) - Y) ** 2).mean())(model)
        optimizer.update(model, grads)
        return value

    values = [float(step(model, optimizer)) for _ in range(50)]
    assert values[-1] < 0.7 * values[0]


def test_the_optimizer_steps_the_state_of_an_nnx_module():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    graph, params = nnx.split(model)
    optimizer = RMSprop(0.0625)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    state = optimizer.init(params)
    loss = lambda params: ((nnx.merge(graph, params)(X) - Y) ** 2).mean()  # noqa: E731
    first = loss(params)
    for _ in range(50):
        params, state, value = optimizer.minimize(loss, params, state)
    assert value < 0.7 * first


@pytest.mark.parametrize("way", ["optimizer", "transformation"])
@pytest.mark.slow
def test_equinox(way):
    """What is no array of numbers to learn is None in what is stepped."""
    model = eqx.nn.MLP(3, 2, 8, 2, key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    loss = lambda params: ((jax.vmap(eqx.combine(params, rest))(X) - Y) ** 2).mean()  # noqa: E731
    optimizer, transformation = RMSprop(0.0078125, **EVERYTHING), rmsprop(0.0078125, **EVERYTHING)
    state = (optimizer if way == "optimizer" else transformation).init(params)

    @eqx.filter_jit
    def step(params, state):
        if way == "optimizer":
            return optimizer.minimize(loss, params, state)
        value, grads = eqx.filter_value_and_grad(loss)(params)
        updates, state = transformation.update(grads, state, params)
        return eqx.apply_updates(params, updates), state, value

    values = []
    for _ in range(50):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
    with pytest.raises(TypeError, match="activation' is a .*give None in its place, as eqx.filter"):
        optimizer.init(model)


@pytest.mark.parametrize("make", [RMSprop, rmsprop])
@pytest.mark.matrix(1)
def test_orbax_saves_and_restores_the_state(make, tmp_path):
    params = {"layer": [{"kernel": X, "bias": Y[0]}], "scale": jnp.bfloat16(2)}
    optimizer = make(**EVERYTHING, slot_dtype="bfloat16")
    state = optimizer.init(params)
    if make is RMSprop:
        params, state = optimizer.apply_gradients(params, params, state)
    else:
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        found = checkpointer.restore(tmp_path / "state", jax.eval_shape(optimizer.init, params))
    assert_equal(found, state)
