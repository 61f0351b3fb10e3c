"""The golden states by NumPy: compiled kernels, and the rule on plain arrays."""

import golden
from golden_cases import ALL, CHOSEN, COMPILED, EXCLUDING, QUICK
from golden_runs import run


@golden.rows({"plain": (CHOSEN, ALL), "compiled": (QUICK, COMPILED), "compiled with gaps": (EXCLUDING[:1], CHOSEN)})
def test_bits(way, case):
    golden.check_bits("bits.npz", case, run(way, case))
