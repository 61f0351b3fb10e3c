"""What was told to an optimizer is told until a step is done: an interrupt or a refused call uses nothing up."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from interrupts import check_each_line, every_line, interrupted

from rmsprop.jax import RMSprop

OPTIONS = {"momentum": 0.5, "weight_decay": 0.25}
GRADS = {"w": jnp.array([0.5, -0.25]), "b": jnp.array(2.0)}


def params():
    return {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}


def run(rate=0.5, **options):
    optimizer = RMSprop(rate, **OPTIONS, **options)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    return SimpleNamespace(optimizer=optimizer, params=params(), state=optimizer.init(params()))


def step(run):
    run.params, run.state = run.optimizer.apply_gradients(GRADS, run.params, run.state)


def anew(run):
    """Another optimizer in the place of one: of its learning rate, also in the state."""
    optimizer = RMSprop(run.optimizer.learning_rate, **OPTIONS, jit_compile=run.optimizer.get_config()["jit_compile"])
    optimizer.exclude_from_weight_decay(var_names=["b"])
    state = optimizer.set_learning_rate(run.state, run.optimizer.learning_rate)
    return SimpleNamespace(optimizer=optimizer, params=run.params, state=state)


def read(run):
    leaves, _ = jax.tree_util.tree_flatten_with_path((run.params, run.state))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


slow = pytest.mark.slow
rows = [
    ("1", True, False, 10),
    ("1", True, True, 150),
    *(pytest.param(*pair, False, 1, marks=slow) for pair in (("1", True), ("1", False), ("0", True), ("0", False))),
    *(pytest.param(*pair, True, 20, marks=slow) for pair in (("1", True), ("1", False), ("0", True), ("0", False))),
]


@pytest.mark.parametrize(("native", "compiled", "first", "every"), rows)
def test_a_rate_that_was_assigned(native, compiled, first, every, monkeypatch):
    """In the first call the interrupt may come while JAX traces, hundreds of lines with a compilation each."""
    monkeypatch.setenv("RMSPROP_NATIVE", native)

    def make():
        made = run(jit_compile=compiled)
        if not first:
            step(made)
        made.optimizer.learning_rate = 0.125
        return made

    assert check_each_line(make, step, anew, read, every) > 0


@every_line
def test_assigning_itself(every):
    """Either the old rate is read and stepped with, or the new one."""

    def make():
        made = run()
        step(made)
        return made

    def assign_and_step(run):
        if run.optimizer.learning_rate == 0.5:
            run.optimizer.learning_rate = 0.125
        step(run)

    line = 0
    made = make()
    while interrupted(lambda: assign_and_step(made), line):  # noqa: B023
        other = anew(made)
        step(made)
        step(other)
        assert all(jax.tree.leaves(jax.tree.map(jnp.array_equal, read(made), read(other)))), line
        line, made = line + every, make()
    assert line > 0


@every_line
def test_a_new_state(every):
    """What `init` did not return, it has not told: the state at hand gets the rate."""
    line, made = 0, run()
    made.optimizer.learning_rate = 0.125
    while interrupted(lambda: made.optimizer.init(params()), line):  # noqa: B023
        step(made)
        assert float(made.state.rate) == 0.125, line
        line, made = line + every, run()
        made.optimizer.learning_rate = 0.125
    assert line > 0


WRONG = {
    "tree": lambda run: run.optimizer.apply_gradients({"w": GRADS["w"]}, run.params, run.state),
    "shape": lambda run: run.optimizer.apply_gradients(GRADS | {"b": jnp.ones(3)}, run.params, run.state),
    "gradient's type": lambda run: run.optimizer.apply_gradients(GRADS | {"b": 1 + 1j}, run.params, run.state),
    "parameter's type": lambda run: run.optimizer.apply_gradients(GRADS, run.params | {"b": jnp.int32(1)}, run.state),
    "state": lambda run: run.optimizer.apply_gradients(GRADS, run.params, run.state._replace(momentums=None)),
    "no state": lambda run: run.optimizer.apply_gradients(GRADS, run.params, ()),
    "no gradients": lambda run: run.optimizer.apply_gradients({"w": None, "b": None}, run.params, run.state),
    "warning, which is an error here": lambda run: run.optimizer.apply_gradients(
        GRADS | {"b": None}, run.params, run.state
    ),
    "loss": lambda run: run.optimizer.minimize(lambda params: 1 / 0, run.params, run.state),
    "traced": lambda run: jax.jit(run.optimizer.apply_gradients)(GRADS, run.params, run.state),
    "init's type": lambda run: run.optimizer.init({"w": 1}),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("first", [True, False])
def test_calls_that_are_refused(wrong, first):
    made = run()
    if not first:
        step(made)
    made.optimizer.learning_rate = 0.125
    other = anew(made)
    with pytest.raises((TypeError, ValueError, RuntimeError, ZeroDivisionError, UserWarning)):
        WRONG[wrong](made)
    for _ in range(2):
        step(made)
        step(other)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, read(made), read(other)))


def test_a_step_whose_results_were_lost():
    """The same arguments give the same results, whoever has read them before."""
    made = run()
    made.optimizer.learning_rate = 0.125
    lost, found = (made.optimizer.apply_gradients(GRADS, made.params, made.state)[1] for _ in range(2))
    assert float(lost.rate) == float(found.rate) == 0.125
    state = made.optimizer.set_learning_rate(made.state, 0.25)
    assert float(made.optimizer.apply_gradients(GRADS, made.params, state)[1].rate) == 0.25


def test_a_refused_step_is_not_the_first():
    """What comes before the first step may still come, and reaches what was compiled."""
    optimizer = RMSprop(0.5, weight_decay=0.25)
    state = RMSprop(0.5, weight_decay=0.25).init(params())
    with pytest.raises(ValueError, match="grads is not the tree"):
        optimizer.apply_gradients({}, params(), state)
    with pytest.raises(ValueError, match="grads is not the tree"):
        jax.jit(optimizer.apply_gradients)({}, params(), state)
    optimizer.learning_rate = 0.125
    optimizer.exclude_from_weight_decay(var_names=["w", "b"])
    zeros = jax.tree.map(jnp.zeros_like, params())
    new, state = optimizer.apply_gradients(zeros, params(), state)
    assert float(state.rate) == 0.125
    assert jax.tree.all(jax.tree.map(jnp.array_equal, new, params()))
