"""Rows of a sparse gradient, checked, put in order and summed by compiled code: the bits of `RowSparse.coalesce`."""

import ctypes

import ml_dtypes
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmsprop import RowSparse
from rmsprop._core.cpu.coalesce import FOUND, NO_MEMORY, NO_ROW, REQUEST
from rmsprop._core.cpu.kernels import entry, row_sums
from rmsprop._core.cpu.system import library_function
from rmsprop._core.rows import summed_in

WORD = ctypes.c_int64
CALL = ctypes.CFUNCTYPE(WORD, WORD)
TYPES = [numpy.float32, numpy.float64, numpy.float16, ml_dtypes.bfloat16]

types = pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: numpy.dtype(dtype).name)


def coalesce(numbers, values, limit, malloc=None):
    """What is found: the answer, the row numbers and the rows, and a row number that is not there."""
    stored = numpy.dtype(values.dtype)
    compute = numpy.dtype(summed_in(stored.name))
    given = {
        "numbers": numbers.ctypes.data, "values": values.ctypes.data, "count": numbers.size,
        "number_bytes": numbers.itemsize, "limit": limit, "width": values[:1].size // max(1, len(values[:1])),
        "itemsize": compute.itemsize, "sum": row_sums(stored, compute), "always": stored != compute,
        "malloc": malloc or library_function("malloc"),
    }  # fmt: skip
    request = numpy.array([given.get(name, 0) for name in REQUEST], numpy.int64)
    answer = CALL(entry("coalesce"))(request.ctypes.data)
    found = dict(zip(REQUEST, request.tolist(), strict=True))
    rows = array(found["rows"], numpy.dtype(numpy.int64), (found["row_count"],))
    shape = found["row_count"], given["width"]
    summed = array(found["row_values"], compute, shape).reshape(len(rows), *values.shape[1:])
    free(found["blocks"])
    return answer, rows, summed, found["outside"]


def array(address, dtype, shape):
    """A copy of memory."""
    found = numpy.empty(shape, dtype)
    if found.nbytes:
        ctypes.memmove(found.ctypes.data, address, found.nbytes)
    return found


def free(block):
    """Blocks, each of which points to the next."""
    release = ctypes.CFUNCTYPE(None, WORD)(library_function("free"))
    while block:
        following = WORD.from_address(block).value
        release(block)
        block = following


def check(numbers, values, limit):
    answer, rows, summed, _ = coalesce(numbers, values, limit)
    expected_rows, expected = RowSparse(numbers, values, (limit, *values.shape[1:])).coalesce()
    assert answer == FOUND
    numpy.testing.assert_array_equal(rows, expected_rows)
    assert summed.dtype == expected.dtype
    assert summed.tobytes() == expected.tobytes()


def drawn(seed, count, limit, shape, dtype, integers=numpy.int64):
    """Rows of numbers whose sum depends on the order."""
    random = numpy.random.default_rng(seed)
    values = random.normal(size=(count, *shape)) * 10.0 ** random.integers(-3, 4, (count, *shape))
    return random.integers(0, limit, count).astype(integers), values.astype(dtype)


@types
@pytest.mark.parametrize("integers", [numpy.int32, numpy.int64], ids=["int32", "int64"])
@pytest.mark.parametrize(
    ("count", "limit", "shape"),
    [
        (0, 5, (3,)), (1, 1, ()), (7, 3, (2, 2)), (9, 1, (3,)), (300, 2, (1,)), (2000, 3, (5,)), (500, 70_000, (2,)),
        (400, 1 << 24, (1,)),
    ],
)  # fmt: skip
@pytest.mark.matrix
def test_the_bits_of_numpy(count, limit, shape, integers, dtype):
    """Few and many repeats: none, some in eight lanes, blocks, halves of halves; numbers of up to four digits."""
    check(*drawn(count, count, limit, shape, dtype, integers), limit)


@types
def test_rows_in_order(dtype):
    """Half types are widened all the same."""
    _, values = drawn(0, 6, 6, (3,), dtype)
    check(numpy.array([0, 1, 3, 4, 8, 9]), values, 10)


@given(st.integers(0, 2**32), st.integers(0, 600), st.sampled_from([1, 2, 9, 257, 70_000]), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_any_rows(seed, count, limit, width):
    check(*drawn(seed, count, limit, (width,), numpy.float32), limit)


def test_zeros_keep_their_sign_and_nan_spreads():
    values = numpy.array([[-0.0], [-0.0], [numpy.nan], [1.0], [numpy.inf], [-numpy.inf]], numpy.float32)
    with numpy.errstate(invalid="ignore"):
        check(numpy.array([2, 2, 0, 0, 1, 1]), values, 3)
        check(numpy.array([1, 0, 0, 2, 2, 2]), values, 3)


@pytest.mark.parametrize(("numbers", "wrong"), [([0, -1], -1), ([4, 0], 4), ([0, 2**40], 2**40)], ids=str)
def test_a_row_that_is_not_there(numbers, wrong):
    answer, rows, _, outside = coalesce(numpy.array(numbers), numpy.ones((2, 3), numpy.float32), 4)
    assert (answer, rows.size, outside) == (NO_ROW, 0, wrong)


@pytest.mark.parametrize("given", [0, 1], ids=["none", "a block"])
def test_no_memory(given):
    """At the first or at the second block."""
    blocks = []

    @CALL
    def malloc(size):
        if len(blocks) == given:
            return 0
        blocks.append(ctypes.CFUNCTYPE(WORD, WORD)(library_function("malloc"))(size))
        return blocks[-1]

    address = ctypes.cast(malloc, ctypes.c_void_p).value
    answer, rows, *_ = coalesce(numpy.array([1, 0]), numpy.ones((2, 3), numpy.float32), 4, address)
    assert (answer, rows.size) == (NO_MEMORY, 0)
