"""NumPy's steps without Numba: the rule in plain NumPy, and a word about it."""

import fallbacks
import pytest
from processes import run

STEP = """
def explain():
    from rmsprop import RMSprop
    return RMSprop().explain([start.copy()])

def step(native):
    from rmsprop import RMSprop
    w = start.copy()
    optimizer = RMSprop(**options, jit_compile=native is None)
    for _ in range(steps):
        optimizer.apply_gradients([(w.copy(), w)])
    return w
"""


def test_every_way():
    fallbacks.check(
        STEP,
        [
            ("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: "),
            ("take('llvmlite')", "Numba cannot be loaded: ModuleNotFoundError: "),
            ("os.environ['NUMBA_DISABLE_JIT'] = '1'", "NUMBA_DISABLE_JIT=1 keeps Numba from compiling"),
            ("import numba; numba.config.DISABLE_JIT = 1", "numba.config.DISABLE_JIT keeps Numba from compiling"),
        ],
    )


SILENT = """
import sys
import numpy
from rmsprop import RMSprop
sys.modules["numba"] = None
w = numpy.array(10.0)
RMSprop(0.1, jit_compile=bool(int(sys.argv[1]))).apply_gradients([(w.copy(), w)])
print(w.round(6))
"""


@pytest.mark.parametrize(("jit_compile", "environment"), [(1, {"RMSPROP_NATIVE": "0"}), (0, {})])
def test_nothing_is_said_to_those_who_asked_for_it(jit_compile, environment):
    assert run(SILENT, jit_compile, **environment) == "9.683772"
