"""The golden states by tf_keras: our kernels have NumPy's bits, and TensorFlow's operations are near what they were."""

import golden
from golden_cases import COMPILED, MILD, ONE_PER_STORAGE, PAIRWISE, QUICK
from golden_runs import run

#: A step that XLA compiles cannot call a function of Python's.
BY_XLA = [case for case in MILD if not callable(case.options["learning_rate"])]


@golden.rows({"eager": (QUICK, COMPILED), "function": (ONE_PER_STORAGE[:1], [*PAIRWISE[::3], *ONE_PER_STORAGE[::3]])})
def test_bits(way, case):
    golden.check_bits("bits.npz", case, run(way, case))


@golden.rows({"traced": (MILD[1:2], MILD), "traced-eager": ([], MILD[::3]), "xla": ([], BY_XLA[::2])})
def test_bound(way, case):
    golden.check_bound("tf_keras.npz", case, run(way, case))
