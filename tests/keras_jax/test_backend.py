"""What only JAX has."""

import jax
import jax.numpy as jnp
import keras
import keras_runs as runs
import numpy
import oldest
import pytest
from compilations import Compilations

from rmsprop.keras import RMSprop


def step_of(optimizer):
    """A step as a function of arrays, which JAX can trace."""

    def step(state, gradients, values):
        return optimizer.stateless_apply(state, gradients, values)

    arrays = [[one.value for one in optimizer.variables], [jnp.ones(4)], [jnp.ones(4)]]
    return step, arrays


@pytest.mark.skipif(oldest.jax_is_traced(), reason="native steps need jaxlib 0.9")
@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"loss_scale_factor": 2.0}], ids=str)
def test_a_step_is_one_call(options, monkeypatch):
    for switch, calls in (("1", 1), ("0", 0)):
        monkeypatch.setenv("RMSPROP_NATIVE", switch)
        step, arrays = step_of(runs.build(options, {"w": numpy.ones(4, "float32")})[0])
        assert jax.jit(step).lower(*arrays).as_text().count("@rmsprop_step") == calls


def test_the_second_step_compiles_nothing():
    optimizer, named = runs.build({"momentum": 0.5, "use_ema": True}, {"w": numpy.ones(4, "float32")})
    runs.step(optimizer, named, {"w": numpy.ones(4, "float32")})
    compilations = Compilations()
    for rate in (0.5, 0.25):
        optimizer.learning_rate = rate
        runs.step(optimizer, named, {"w": numpy.ones(4, "float32")})
    assert compilations.count == 0


def test_arrays_that_somebody_holds_stay():
    optimizer, named = runs.build({"use_ema": True}, {"w": numpy.ones(1000, "float32")})
    held = [named["w"].value, *(one.value for one in optimizer.variables)]
    before = [numpy.array(one) for one in held]
    runs.step(optimizer, named, {"w": numpy.ones(1000, "float32")})
    runs.assert_same([numpy.array(one) for one in held], before)


def test_averages_have_memory_of_their_own():
    """A train step gives arrays away, and none twice; Keras's own cannot be fitted again after `use_ema`."""
    model = runs.model(RMSprop(use_ema=True))
    for _ in range(3):
        runs.fit(model, epochs=1)
    assert int(model.optimizer.iterations) == 18


def test_variables_of_other_frameworks():
    with pytest.raises(TypeError, match=r"rmsprop\.jax\.RMSprop steps JAX's arrays"):
        RMSprop().build([jnp.ones(3)])
    assert keras.backend.backend() == "jax"
