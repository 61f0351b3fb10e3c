"""The CPU kernels: the rule's bits for every storage, layout and number of threads, and vectors in the machine code."""

import itertools
import json
import os
import subprocess
import sys
import tracemalloc

import explanations
import ml_dtypes
import numba
import numpy
import pytest

from rmsprop import RMSprop, RowSparse
from rmsprop._core.cpu import half as _half
from rmsprop._core.cpu import kernels
from rmsprop._core.cpu.memory import load, pointer, storage_tag, store
from rmsprop._core.plain import _square_sum
from rmsprop._core.run import SMALL
from rmsprop._core.switches import default_threads
from rmsprop._core.tables import CHUNK, GATHERED, LANES

TYPES = [numpy.dtype(t) for t in (numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64)]
#: Types of variables and of slots.
STORAGES = list(itertools.product(TYPES, (None, "float32", "float64")))
OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered-momentum": {"momentum": 0.9, "centered": True},
    "clipvalue": {"clipvalue": 0.5},
    "clipnorm": {"clipnorm": 3.0},
    "everything": {
        "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
        "ema_overwrite_frequency": 3,
    },
}  # fmt: skip


def numbers(shape, dtype=numpy.float32, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype(dtype)


def steps(variables, gradients, count=4, **options):
    """Step some times; give the variables and the state, as bytes and so with the signs of zeros and all NaN."""
    optimizer = RMSprop(0.01, **options)
    optimizer.build(variables)
    for step in range(count):
        optimizer.apply_gradients(zip(gradients(step), variables, strict=True))
    state = [array for name, array in optimizer.variables.items() if name != "iterations"]
    return [numpy.ascontiguousarray(array).tobytes() for array in (*variables, *state)]


# Bits -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("dtype", "slots"), STORAGES, ids=str)
@pytest.mark.matrix(6)
def test_bits_equal_the_rule_on_plain_arrays(dtype, slots, options):
    shapes = [(CHUNK + 77,), (300,), (), (0,)]

    def gradients(step):
        given = [numbers(shape, dtype, seed=step) for shape in shapes]
        given[1][:4] = [0.0, -0.0, 1e-6, 6e4]
        return given

    found = []
    for jit_compile in (True, False):
        variables = [numbers(shape, dtype, seed=9) for shape in shapes]
        found.append(steps(variables, gradients, jit_compile=jit_compile, slot_dtype=slots, **options))
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf, 1e30])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_special_numbers_equal_the_rule_on_plain_arrays(options, value):
    def gradients(step):
        given = [numbers(500, seed=step), numbers(20, seed=step)]
        given[0][7] = value
        return given

    found = []
    for jit_compile in (True, False):
        variables = [numbers(500, seed=9), numbers(20, seed=9)]
        steps(variables, gradients, jit_compile=jit_compile, **options)
        found.append(variables)
    for kernel, plain in zip(*found, strict=True):
        numpy.testing.assert_array_equal(kernel, plain)
    if "global_clipnorm" in options and not abs(value) < 1e31:
        assert numpy.isnan(found[0][1]).all()
    else:
        assert numpy.isfinite(found[0][1]).all()


@pytest.mark.parametrize("options", ["plain", "everything"])
@pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, options, strided):
    found = []
    chunk = GATHERED if strided else CHUNK
    assert SMALL < 20  # fewer chunks than that stay with the caller, and would show nothing here
    for threads in ("1", "2", "3", "7"):
        monkeypatch.setenv("RMSPROP_NUM_THREADS", threads)
        variables = [numbers((chunk * 20 + 5, 2), seed=1)[:, :: 1 + strided], numbers(100, seed=2)]
        gradients = [numbers(variable.shape, seed=3) for variable in variables]
        found.append(steps(variables, lambda step: gradients, 2, **OPTIONS[options]))  # noqa: B023
    assert found.count(found[0]) == 4


def test_a_bad_number_of_threads_is_refused(monkeypatch):
    monkeypatch.setenv("RMSPROP_NUM_THREADS", "two")
    with pytest.raises(ValueError, match="RMSPROP_NUM_THREADS='two' is not a whole number"):
        RMSprop().apply_gradients([(numbers(3), numbers(3))])


# Layouts --------------------------------------------------------------------------------------------------------------


def unaligned(array):
    """Copy an array to an address that is no multiple of anything."""
    memory = numpy.zeros(array.nbytes + 1, numpy.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def spread(array):
    wide = numpy.zeros([2 * length + 1 for length in array.shape], array.dtype)
    moved = wide[tuple(slice(1, None, 2) for _ in array.shape)]
    moved[...] = array
    return moved


LAYOUTS = {
    "contiguous": lambda a: a.copy(),
    "unaligned": unaligned,
    "fortran": lambda a: numpy.array(a, order="F"),
    "spread": spread,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "all reversed": lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "swapped": lambda a: numpy.array(a.swapaxes(0, 2)).swapaxes(0, 2),
    "broadcast gradient": lambda a: numpy.broadcast_to(a[:1], a.shape),
    "unaligned fortran": lambda a: unaligned(a.T).T,
}
#: A variable whose elements share memory is refused.
VARIABLES = [name for name in LAYOUTS if name != "broadcast gradient"]


@pytest.mark.parametrize("options", ["plain", "everything"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(("variable", "gradient"), list(itertools.product(VARIABLES, LAYOUTS)))
@pytest.mark.matrix(6)
def test_any_layout_gives_the_bits_of_contiguous_arrays(variable, gradient, dtype, options):
    shape = (37, 5, 113)
    shaped = LAYOUTS[gradient](numbers(shape, dtype, 1))
    found = []
    for lay, given in ((LAYOUTS[variable], shaped), (numpy.array, numpy.array(shaped, order="C"))):
        found.append(steps([lay(numbers(shape, dtype, 2))], lambda step: [given], 2, **OPTIONS[options]))  # noqa: B023
    assert found[0] == found[1]


def test_one_step_serves_every_kind_of_tensor():
    """Contiguous and strided, two variable types, a gradient of a third, with and without decay: eight launches."""
    make = lambda: {  # noqa: E731
        "a": numbers(9), "a/bias": numbers(9), "b": numbers((9, 4))[::2], "b/bias": numbers((9, 4))[::3],
        "c": numbers(5, numpy.float64), "d": numbers(5, numpy.float16), "e": numbers(7), "f": numbers(()),
    }  # fmt: skip
    found = []
    for jit_compile in (True, False):
        variables = make()
        optimizer = RMSprop(jit_compile=jit_compile, **OPTIONS["everything"])
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(variables)
        for seed in range(3):
            gradients = {name: numbers(array.shape, array.dtype, seed + 5) for name, array in variables.items()}
            gradients["e"] = gradients["e"].astype(numpy.float64)
            optimizer.apply_gradients(zip(gradients.values(), variables.values(), strict=True))
        found.append(variables)
    for name, array in found[0].items():
        numpy.testing.assert_array_equal(array, found[1][name], err_msg=name)


# Norms ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LANES - 1, LANES, LANES + 1, CHUNK - 1, CHUNK, 3 * CHUNK + 200])
def test_norms_are_summed_in_the_stated_order(size):
    """Against a loop over elements: lane i % LANES, lanes folded in halves, chunks in order."""
    values = numbers(size, numpy.float64)
    total = 0.0
    for start in range(0, size, CHUNK):
        lanes = [0.0] * LANES
        for i, value in enumerate(values[start : start + CHUNK].tolist()):
            lanes[i % LANES] += value * value
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [lanes[i] + lanes[i + half] for i in range(half)]
        total += lanes[0]
    assert _square_sum(values) == total
    # An empty tensor shows nothing of its norm, so another one shares a global norm with it: 1 more.
    w, one = numpy.zeros(size), numpy.zeros(1)
    optimizer = RMSprop(1.0, rho=1.0, epsilon=1.0, global_clipnorm=1e-3)
    optimizer.apply_gradients([(values, w), (numpy.ones(1), one)])
    scale = 1e-3 / numpy.sqrt(total + 1.0)
    numpy.testing.assert_array_equal(w, -(values * scale))
    assert one == -scale


@pytest.mark.parametrize("rows", [[], [0], [40_000], [3, 9_000, 9_001, 29_999, 30_000, 59_999]], ids=str)
def test_few_rows_have_the_norm_of_the_whole_gradient(rows):
    """Most chunks have no row: nothing of them is summed."""
    sparse = RowSparse(rows, numbers((len(rows), 7), numpy.float64), (60_000, 7))
    found = []
    for gradient in (sparse, sparse.to_dense()):
        w, optimizer = numpy.zeros((60_000, 7)), RMSprop(1.0, rho=1.0, epsilon=1.0, clipnorm=1e-3)
        optimizer.apply_gradients([(gradient, w)])
        found.append(w)
    numpy.testing.assert_array_equal(*found)
    assert numpy.count_nonzero(found[0].any(1)) == len(rows)


def test_a_norm_within_the_limit_changes_no_bit():
    gradient = numbers(1000)
    clipped, free = numbers(1000, seed=1), numbers(1000, seed=1)
    norm = float(numpy.sqrt((gradient.astype(float) ** 2).sum()))
    RMSprop(clipnorm=norm * (1 + 1e-12)).apply_gradients([(gradient, clipped)])
    RMSprop().apply_gradients([(gradient, free)])
    numpy.testing.assert_array_equal(clipped, free)


# Half types -----------------------------------------------------------------------------------------------------------


def converters(native):
    """Compile conversions with or without the processor's instructions; `native` is read while compiling."""

    @numba.njit(error_model="numpy")
    def widen(bits, out, dtypes):
        source = pointer(bits.ctypes.data, dtypes[0], dtypes[1], "outside")
        for i in range(bits.size):
            out[i] = load(source, i)

    @numba.njit(error_model="numpy")
    def narrow(numbers, bits, dtypes):
        target = pointer(bits.ctypes.data, dtypes[0], dtypes[1], "outside")
        for i in range(bits.size):
            store(target, i, numbers[i])

    return widen, narrow


@pytest.mark.filterwarnings("ignore:overflow encountered")  # on purpose: 1e300 and what follows 65519
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", TYPES[:2], ids=str)
def test_half_types_are_converted_exactly(monkeypatch, dtype, native):
    """All 65536 patterns widen and come back; float32 and float64 between and beyond them round to nearest, to even."""
    if native and not _half.native_float16():
        pytest.skip("this processor has no conversion of float16")
    monkeypatch.setattr(_half, "native_float16", lambda: native)
    widen, narrow = converters(native)
    bits = numpy.arange(65536).astype(numpy.uint16)
    tag = storage_tag(dtype)
    out = numpy.empty(bits.size, numpy.float32)
    widen(bits, out, (tag, out.dtype))
    expected = bits.view(dtype).astype(numpy.float32)
    numpy.testing.assert_array_equal(out, expected)
    assert numpy.array_equal(numpy.signbit(out), numpy.signbit(expected))

    finite = numpy.unique(expected[numpy.isfinite(expected)]).astype(numpy.float64)
    between = (finite[1:] + finite[:-1]) / 2
    special = numpy.array([numpy.inf, -numpy.inf, numpy.nan, -0.0, 1e-300, 1e300, 65519.999, 65520.0, 65536.0])
    for compute in (numpy.float32, numpy.float64):
        values = numpy.concatenate([finite, between, special]).astype(compute)
        for one in (values, numpy.nextafter(values, compute(numpy.inf)), numpy.nextafter(values, compute(-numpy.inf))):
            found = numpy.empty(one.size, numpy.uint16)
            narrow(one, found, (tag, one.dtype))
            nan = numpy.isnan(one)
            assert numpy.isnan(found.view(dtype)[nan].astype(float)).all()
            numpy.testing.assert_array_equal(found[~nan], round_half(one, dtype)[~nan])


def round_half(values, dtype):
    """Round to nearest, ties to even, by scaling the last place to one; ml_dtypes rounds a float64 twice."""
    digits, least, largest = {"float16": (11, -13, 2.0**16), "bfloat16": (8, -125, 2.0**128)}[dtype.name]
    exact = values.astype(numpy.float64)
    exponent = numpy.maximum(numpy.frexp(exact)[1], least)
    rounded = numpy.ldexp(numpy.rint(numpy.ldexp(exact, digits - exponent)), exponent - digits)
    rounded[abs(rounded) >= largest] = numpy.copysign(numpy.inf, rounded[abs(rounded) >= largest])
    return rounded.astype(dtype).view(numpy.uint16)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    ("dtype", "digits"), [(numpy.float16, 10), (ml_dtypes.bfloat16, 7)], ids=["float16", "bfloat16"]
)
def test_a_step_in_double_is_rounded_once(dtype, digits, jit_compile):
    """A hair above the middle of two numbers, which float32 cannot tell from it: that would be rounded to even."""
    w, gradient = numpy.ones(1, dtype), numpy.array([-(2.0 ** -(digits + 1)) - 2.0**-40])
    optimizer = RMSprop(1.0, rho=1.0, epsilon=1.0, slot_dtype="float64", jit_compile=jit_compile)  # w - g
    optimizer.apply_gradients([(gradient, w)])
    assert float(w[0]) == 1 + 2.0**-digits


# Machine code ---------------------------------------------------------------------------------------------------------


MACHINE_CODE = """
import json, re, sys
import numpy
from rmsprop import RMSprop
from rmsprop._core.cpu import kernels
for options in json.loads(sys.argv[1]):
    w = numpy.ones(100, numpy.float32)
    RMSprop(**options).apply_gradients([(w.copy(), w)])
found = {key: one for key, one in kernels._found.items() if getattr(key, "work", None) == "step"}
for key, one in found.items():
    text = one._library.get_asm_str()
    # xmm, ymm, zmm on x86-64; v0.4s on AArch64
    assert re.search(r"v?divps\\s|fdiv\\s+v\\d+\\.4s", text), ("no vector division", key)
    assert re.search(r"v?sqrtps\\s|fsqrt\\s+v\\d+\\.4s", text), ("no vector root", key)
    assert not re.search(r"vfn?m(add|sub)\\d|fml[as]\\s", text), ("contracted", key)
print(len(found))
"""


def test_every_kernel_divides_vectors():
    """With run-time checks for overlap LLVM would leave loops scalar, at half the speed.

    In a process without a cache: machine code that was loaded cannot be looked at.
    """
    options = [options for name, options in OPTIONS.items() if name != "clipnorm"]
    done = subprocess.run(
        [sys.executable, "-c", MACHINE_CODE, json.dumps(options)],
        env=os.environ | {"RMSPROP_CACHE_DIR": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(options)


def test_the_second_step_and_another_learning_rate_compile_nothing():
    w = numbers(100)
    optimizer = RMSprop(**OPTIONS["everything"])
    optimizer.apply_gradients([(numbers(100), w)])
    before = dict(kernels._found)
    optimizer.learning_rate = 0.5
    optimizer.apply_gradients([(numbers(100), w)])
    fresh = RMSprop(**OPTIONS["everything"] | {"momentum": 0.5, "global_clipnorm": 7.0})
    fresh.apply_gradients([(numbers(100), w)])
    assert kernels._found == before


def test_one_launch_serves_all_tensors(monkeypatch):
    variables = [numbers(shape) for shape in ((3, 4), (5,), (), (2, 2, 2))]
    counted = explanations.Counted(monkeypatch)
    steps(variables, lambda step: [numbers(v.shape) for v in variables], 1, **OPTIONS["everything"])
    assert (counted.made, counted.launches) == (1, 2)  # the norms are a launch of their own


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_allocates_nothing_of_a_parameters_size(options):
    w, gradient = numbers(5_000_000), numbers(5_000_000, seed=1)  # 20 MB each
    optimizer = RMSprop(**options)
    # Where the gradient is the variable, each thread has scratch memory of 0.5 MB, whatever the parameter's size.
    for given, allowed in ((gradient, 100_000), (w, 600_000 * default_threads())):
        optimizer.apply_gradients([(given, w)])
        tracemalloc.start()
        optimizer.apply_gradients([(given, w)])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < allowed
