"""JAX at its lower bound, which has no native steps yet."""

import oldest
import processes
import pytest

STEP = """
    import warnings
    import jax.numpy as jnp
    import numpy
    from rmsprop.jax import RMSprop

    params = {"w": jnp.ones(3)}
    optimizer = RMSprop(0.5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            found, _ = optimizer.apply_gradients(params, params, optimizer.init(params))
    # 1 - 0.5 / sqrt(0.1 + 1e-7)
    numpy.testing.assert_allclose(found["w"], -0.58113804, rtol=1e-6)
    print(*(one.message for one in caught), sep="\\n")
"""


@pytest.mark.skipif(not oldest.jax_is_traced(), reason="this jaxlib has native steps; test_fallback.py takes them away")
def test_that_steps_are_traced_is_said_once():
    (message,) = processes.run(STEP).splitlines()
    assert message.startswith(oldest.WARNING)
    assert "is older than 0.9" in message
