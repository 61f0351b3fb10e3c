"""Each front end in a process of its own, which imports its framework: nothing but the report comes out.

The smoke test of `make test`; the modules `test_on_*` look closer.
"""

import pytest
from bench_runs import run_alone

FRONTENDS = [
    "torch",
    "jax",
    pytest.param("numpy", marks=pytest.mark.slow),
    pytest.param("tf_keras", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_step_is_measured(frontend):
    step = ["--part", "steps", "--peer", "none", "--model", "mlp", "--variant", "everything", "--repeat", "1"]
    printed = run_alone(frontend, *step)
    assert "mlp: 6 tensors, 4,996 numbers" in printed
    assert "everything" in printed
