"""The golden states by torch on the CPU: NumPy's, and those of parameter groups."""

import golden
from golden_cases import ALL, CHOSEN, COMPILED, EXCLUDING, FLOAT32, FLOAT64, PAIRWISE, QUICK, SPARSE
from golden_runs import GROUPS, run

#: Complex numbers are stepped as their parts are.
COMPLEX = [case for case in ALL if case.storage in (FLOAT32, FLOAT64)]


@golden.rows(
    {
        "plain": (CHOSEN, ALL),
        "compiled": (QUICK, COMPILED),
        "compiled with gaps": (EXCLUDING[:1], CHOSEN),
        "complex": ([*PAIRWISE[::4], SPARSE[1]], COMPLEX),
    }
)
def test_bits(way, case):
    golden.check_bits("bits.npz", case, run(way, case))


@golden.rows({"plain": (GROUPS, GROUPS), "compiled": (GROUPS[:3:2], GROUPS)})
def test_bits_of_groups(way, case):
    golden.check_bits("torch.npz", case, run(way, case))
