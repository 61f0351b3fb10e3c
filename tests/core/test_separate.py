"""Kernels whose results go elsewhere than the operands are: the same bits, and the operands stay what they are."""

from pathlib import Path

import ml_dtypes
import numpy
import planned
import pytest
from planned import OPTIONS, Planned, bits
from processes import path, run

from rmsprop._core.tables import CHUNK, GATHERED, PART

TYPES = [numpy.dtype(t) for t in (numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64)]
#: Around the ends of cache lines, of parts and of chunks.
SHAPES = [(size,) for size in (0, 1, 15, 16, 17, PART - 1, PART, PART + 9, CHUNK, 2 * CHUNK + PART + 3)]
ELSEWHERE = ("targets", "streamed")

# Every storage with all options, every set of options in float32: each of the others would compile for a second more.
KERNELS = [(name, TYPES[2], None) for name in OPTIONS]
KERNELS += [("everything", dtype, slot) for dtype in TYPES for slot in (None, "float32") if dtype != TYPES[2]]


@pytest.mark.parametrize("out", ELSEWHERE)
@pytest.mark.parametrize(("options", "dtype", "slot_dtype"), KERNELS, ids=str)
@pytest.mark.matrix
def test_the_same_bits_elsewhere(options, dtype, slot_dtype, out):
    options = OPTIONS[options] | {"slot_dtype": slot_dtype}
    one, other = Planned(SHAPES, options, dtype), Planned(SHAPES, options, dtype, out=out)
    before = bits(other.sources)
    one.run.execute()
    other.run.execute()
    assert other.results() == one.results()
    assert bits(other.sources) == before
    assert other.results()["velocity"] != before["velocity"]


@pytest.mark.parametrize("out", ELSEWHERE)
def test_large_tensors_on_several_threads(out):
    shapes = [(40 * CHUNK + 5,), (3,), (20 * CHUNK,)]
    one = Planned(shapes, OPTIONS["everything"])
    other = Planned(shapes, OPTIONS["everything"], out=out, threads=2)
    one.run.execute()
    other.run.execute()
    assert other.results() == one.results()


@pytest.mark.parametrize("dtype", TYPES[1:], ids=str)
def test_targets_that_begin_no_cache_line(dtype):
    """They are written to as usual: a streaming store to them would end the process.

    Another target of the same tensor begins one, and is streamed to.
    """
    one = Planned([(1000,)], OPTIONS["everything"], dtype)
    other = Planned([(1000,)], OPTIONS["everything"], dtype, out="streamed")
    shifted = planned.aligned(numpy.zeros(1004, one.sources["velocity"][0].dtype))[1:1001]
    other.run.where["new velocity"][0] = shifted.ctypes.data
    one.run.execute()
    other.run.execute()
    assert shifted.tobytes() == one.sources["velocity"][0].tobytes()
    assert other.results()["variable"] == one.results()["variable"]


@pytest.mark.parametrize("out", ELSEWHERE)
@pytest.mark.parametrize("form", ["rows", "gathered", "gathered rows"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_few_rows_and_numbers_that_are_gathered(options, form, out):
    shapes = [(GATHERED // 8 + 3, 10)]
    dense = Planned(shapes, options, form="flat")
    other = Planned(shapes, options, form=form, out=out)
    dense.sources["gradient"][0][...] = other.sources["gradient"][0]
    before = bits(other.sources)
    dense.run.execute()
    other.run.execute()
    assert other.results() == dense.results()
    assert bits(other.sources) == before


LOOPS = """
from test_separate import SHAPES
from planned import OPTIONS, OUTS, Planned
from rmsprop._core.cpu import kernels
for options in OPTIONS.values():
    for out in OUTS:
        tensors = Planned(SHAPES, options, out=out)
        tensors.run.execute()
found = {key: one for key, one in kernels._found.items() if getattr(key, "work", None) == "step"}
for key, one in found.items():
    text = one._library.get_llvm_str()
    assert "vector.body" in text, ("no vectors", key)
    assert "vector.memcheck" not in text, ("overlap is checked at run time", key)
print(len(found))
"""


@pytest.mark.slow
def test_no_loop_asks_whether_memory_overlaps():
    """It would find that the results overlap the operands, where they take their place, and go on number by number."""
    assert run(LOOPS, RMSPROP_CACHE_DIR="", PYTHONPATH=path(Path(__file__).parent)) == "9"
