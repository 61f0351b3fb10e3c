"""The golden states by JAX: our kernels have NumPy's bits, and XLA is near what it was."""

import golden
import oldest
import pytest
from golden_cases import COMPILED, MILD, ONE_PER_STORAGE, PAIRWISE, QUICK
from golden_runs import run


@pytest.mark.skipif(oldest.jax_is_traced(), reason="native steps need jaxlib 0.9")
@golden.rows({"native": (QUICK, COMPILED), "jit": (ONE_PER_STORAGE[:1], [*PAIRWISE[::3], *ONE_PER_STORAGE[::3]])})
def test_bits(way, case):
    golden.check_bits("bits.npz", case, run(way, case))


@golden.rows({"traced": (MILD[1:2], MILD), "operations": ([], MILD[::5]), "transformation": ([], MILD[::3])})
def test_bound(way, case):
    golden.check_bound("jax.npz", case, run(way, case))
