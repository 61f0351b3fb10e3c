"""Machine code for another processor than this one, as for a cache of kernels that the machines of a cluster share."""

import pytest
from processes import run

STEPS = """
import zlib
import ml_dtypes, numpy
from rmsprop import RMSprop
for dtype in ("float16", "bfloat16", "float32", "float64"):
    w = numpy.linspace(-1, 1, 1000).astype(dtype)
    gradient, optimizer = w.copy(), RMSprop(0.1, momentum=0.5, global_clipnorm=1.0)
    for _ in range(3):
        optimizer.apply_gradients([(gradient, w)])
    print(dtype, zlib.crc32(w.tobytes()))
"""


@pytest.fixture(scope="module")
def expected():
    """What this processor's machine code gives."""
    return run(STEPS)


@pytest.mark.matrix(1)
@pytest.mark.parametrize("other", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_FEATURES": ""}], ids=str)
def test_the_bits_are_the_same(other, expected):
    """Without its instructions for float16, too: LLVM would call a library that is not there, and end the process."""
    assert run(STEPS, **other) == expected
