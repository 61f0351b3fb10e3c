"""Two frameworks' front ends, each in a process of its own: the smoke test of `make test`; `test_on_*` look closer."""

import pytest
from bench_runs import run_alone


@pytest.mark.parametrize("frontend", ["torch", "jax"])
def test_a_step_is_measured(frontend):
    step = ["--part", "steps", "--peer", "none", "--model", "mlp", "--variant", "everything", "--repeat", "1"]
    printed = run_alone(frontend, *step)
    assert "mlp: 6 tensors, 4,996 numbers" in printed
    assert "everything" in printed
