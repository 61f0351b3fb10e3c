"""Kernels whose results go elsewhere than the operands are: the same bits, and the operands stay what they are."""

import os
import subprocess
import sys

import ml_dtypes
import numpy
import pytest

from rmsprop._core.options import Options
from rmsprop._core.rows import RowSparse
from rmsprop._core.scalars import changing, constants, storage_of
from rmsprop._core.slots import slots
from rmsprop._core.tables import CHUNK, LINE, PART, SCATTERED
from rmsprop.compilers.numba import Launch
from rmsprop.engines._kinds import dense_layouts, row_tables

TYPES = [numpy.dtype(t) for t in (numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64)]
OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "everything": {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "clipvalue": 1.0, "use_ema": True},
}
#: Around the ends of cache lines, of parts and of chunks.
SIZES = [0, 1, 15, 16, 17, PART - 1, PART, PART + 9, CHUNK, 2 * CHUNK + PART + 3]


def aligned(values):
    """A copy that begins a cache line, as TensorFlow's tensors do."""
    values = numpy.asarray(values)
    raw = numpy.zeros(values.nbytes + LINE, numpy.uint8)
    first = -raw.ctypes.data % LINE
    copy = raw[first : first + values.nbytes].view(values.dtype)
    copy[:] = values
    return copy


class Tensors:
    """Tensors of several sizes with their state, and the launch that steps them."""

    def __init__(self, options, dtype, slot_dtype=None, sizes=SIZES, separate=False, **launch):
        options = Options(**options, slot_dtype=slot_dtype)
        storage = storage_of(options, dtype, dtype)
        fixed = constants(options, options.decays)
        operands = ["gradient", "variable", *(slot.name for slot in slots(options))]
        random = numpy.random.default_rng(0)
        self.sources = {
            name: [aligned(random.uniform(0.5, 2, size).astype(self.type_of(name, storage))) for size in sizes]
            for name in operands
        }
        self.targets = {
            name: [aligned(numpy.zeros_like(array)) for array in self.sources[name]] for name in operands[1:]
        }
        self.columns = columns = {name: numpy.zeros(len(sizes), numpy.int64) for name in operands[1:]}
        targets = columns if separate else None
        self.launch = Launch(sizes, storage, operands, [*fixed, *changing(options)], 2, targets=targets, **launch)
        for name, value in (fixed | {"learning_rate": 0.125, "overwrite": 0.0}).items():
            if name in self.launch.scalars:
                self.launch.scalars[name].fill(value)
        for column, arrays in ((self.launch.addresses, self.sources), (columns, self.targets)):
            for name, found in arrays.items():
                column[name][:] = [array.ctypes.data for array in found]

    @staticmethod
    def type_of(name, storage):
        return storage.variable if name in ("gradient", "variable") else storage.slots

    def bits(self, arrays):
        return {name: [array.tobytes() for array in found] for name, found in arrays.items()}


# Every storage with all options, every set of options in float32: each of the others would compile for a second more.
KERNELS = [(name, TYPES[2], None) for name in OPTIONS]
KERNELS += [("everything", dtype, slot) for dtype in TYPES for slot in (None, "float32") if dtype != TYPES[2]]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("options", "dtype", "slot_dtype"), KERNELS, ids=str)
def test_the_same_bits_elsewhere(options, dtype, slot_dtype, streamed):
    options = OPTIONS[options]
    one = Tensors(options, dtype, slot_dtype)
    other = Tensors(options, dtype, slot_dtype, separate=True, streamed=streamed)
    before = other.bits(other.sources)
    one.launch.run()
    other.launch.run()
    found = other.bits(other.targets)
    assert found == {name: bits for name, bits in one.bits(one.sources).items() if name != "gradient"}
    assert other.bits(other.sources) == before
    assert found["velocity"] != before["velocity"]


@pytest.mark.parametrize("streamed", [False, True])
def test_large_tensors_on_several_threads(streamed):
    sizes = [40 * CHUNK + 5, 3, 20 * CHUNK]
    one = Tensors(OPTIONS["everything"], TYPES[2], sizes=sizes)
    other = Tensors(OPTIONS["everything"], TYPES[2], sizes=sizes, separate=True, streamed=streamed)
    one.launch.run()
    other.launch.run()
    assert other.bits(other.targets)["average"] == one.bits(one.sources)["average"]


def test_targets_that_begin_no_cache_line():
    """They are written to as usual: a streaming store to them would end the process."""
    one = Tensors(OPTIONS["everything"], TYPES[2], sizes=[1000])
    other = Tensors(OPTIONS["everything"], TYPES[2], sizes=[1000], separate=True, streamed=True)
    shifted = aligned(numpy.zeros(1004, numpy.float32))[1:1001]
    other.columns["velocity"][0] = shifted.ctypes.data
    one.launch.run()
    other.launch.run()
    assert shifted.tobytes() == one.sources["velocity"][0].tobytes()


@pytest.mark.parametrize("launch", [{"scattered": True}, {"sparse": True}, {"sparse": True, "streamed": True}], ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_few_rows(options, launch):
    shape = (SCATTERED // 8 + 3, 10)
    size, dtype = shape[0] * shape[1], TYPES[2]
    dense = Tensors(options, dtype, sizes=[size], separate=True)
    sparse = Tensors(options, dtype, sizes=[size], separate=True, **launch)
    rows = RowSparse([2, 7, shape[0] - 1], numpy.ones((3, 10), dtype), shape)
    dense.sources["gradient"][0][:] = rows.to_dense().ravel()
    sparse.launch.gradients[:] = rows.values.ctypes.data
    sparse.launch.scatter(dense_layouts([shape], dtype.itemsize), *row_tables([rows]))
    before = sparse.bits(sparse.sources)
    dense.launch.run()
    sparse.launch.run()
    assert sparse.bits(sparse.targets) == dense.bits(dense.targets)
    assert sparse.bits(sparse.sources) == before


LOOPS = """
import numpy
from test_separate import OPTIONS, TYPES, Tensors
from rmsprop.compilers import _kernels
for options in OPTIONS.values():
    for launch in ({}, {"separate": True}, {"separate": True, "streamed": True}):
        tensors = Tensors(options, TYPES[2], **launch)
        tensors.launch.run()
kernels = _kernels.step.inspect_llvm()
for signature, text in kernels.items():
    assert "vector.body" in text, ("no vectors", signature)
    assert "vector.memcheck" not in text, ("overlap is checked at run time", signature)
print(len(kernels))
"""


def test_no_loop_asks_whether_memory_overlaps():
    """It would find that the results overlap the operands, where they take their place, and go on number by number."""
    done = subprocess.run(
        [sys.executable, "-c", LOOPS],
        env=os.environ | {"RMSPROP_CACHE_DIR": "", "PYTHONPATH": os.path.dirname(__file__)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 9
