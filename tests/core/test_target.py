"""Numba's target for kernels: it loads little, leaves no function to call, and minds Numba's own beside it."""

import pytest
from processes import run

#: All that a kernel can have: two types, rows, memory that is not contiguous, and every option.
STEPS = """
import numpy
from rmsprop import RMSprop, RowSparse

EVERY = {"momentum": 0.9, "centered": True, "weight_decay": 1e-4, "use_ema": True, "ema_overwrite_frequency": 2}

def step(**options):
    w, half, table = numpy.ones((4, 6), numpy.float32)[:, ::2], numpy.ones(5, numpy.float16), numpy.ones((9, 2))
    optimizer = RMSprop(0.1, **options)
    for _ in range(3):
        rows = RowSparse(numpy.array([7, 1, 7]), numpy.ones((3, 2)), shape=(9, 2))
        optimizer.apply_gradients([(w * 0.5, w), (half * half, half), (rows, table)])
    return [array.astype(float).sum() for array in (w, half, table)]
"""


def test_a_cold_first_step_loads_nothing_of_numbas_arrays_and_containers():
    """That takes a quarter of a second, and kernels are numbers, addresses and calls."""
    loaded = run(
        STEPS + "import sys\nstep(**EVERY, clipnorm=1.0)\nstep(clipvalue=1.0)\nprint(*sys.modules)",
        RMSPROP_CACHE_DIR="",
    ).split()
    assert "numba.cpython.numbers" in loaded
    foreign = ("numba.np.arrayobj", "numba.np.linalg", "numba.cpython.unicode", "numba.typed.typeddict", "scipy.linalg")
    assert not set(foreign) & set(loaded)


def test_what_a_kernel_is_made_of_is_a_part_of_it():
    source = """
        import re
        from rmsprop._core.cpu import kernels
        step(**EVERY, clipnorm=1.0)
        of_tensors = [one for key, one in kernels._found.items() if hasattr(key, "work")]
        assert {key.work for key in kernels._found if hasattr(key, "work")} == {"step", "squares"}
        for one in of_tensors:
            defined = re.findall(r'^define.*? @"?([^"(]+)', one.inspect_llvm(), re.MULTILINE)
            assert all(one.__name__ in name for name in defined), defined
        print(len(of_tensors))
    """
    assert int(run(STEPS + "if True:" + source, RMSPROP_CACHE_DIR="")) >= 4


NUMBAS_OWN = """
import numba

def compiled():
    @numba.njit
    def total(array, texts):
        return array.sum() + array[::-1][0] + len(texts[1])
    return total(numpy.arange(4.0), ("a", "bc"))
"""


@pytest.fixture(scope="module")
def alone():
    """What steps give in a process of their own."""
    return run(f"{STEPS}print(*step(**EVERY), *step(global_clipnorm=1.0))")


@pytest.mark.parametrize("first", ["compiled()", "step(**EVERY)"])
def test_functions_of_users_are_compiled_as_ever(first, alone):
    source = f"{STEPS}{NUMBAS_OWN}{first}\nprint(compiled(), *step(**EVERY), *step(global_clipnorm=1.0), compiled())"
    assert run(source, RMSPROP_CACHE_DIR="") == f"11.0 {alone} 11.0"


def test_two_threads_compile_at_once(alone):
    source = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    ours = [pool.submit(step, **options) for options in (EVERY, {"global_clipnorm": 1.0})]
    theirs = [pool.submit(compiled) for _ in range(2)]
    print(*(number for one in ours for number in one.result()), *(one.result() for one in theirs))
"""
    assert run(STEPS + NUMBAS_OWN + source, RMSPROP_CACHE_DIR="") == f"{alone} 11.0 11.0"


def test_numbas_own_target_may_compile_the_same_intrinsics_between_two_kernels():
    source = """
import numba
from rmsprop._core.cpu.step import _select

def steps():
    return [*step(**EVERY), *step(global_clipnorm=1.0), *step(clipvalue=0.5)]

@numba.njit
def theirs(number, limit):
    return _select(number > limit, numpy.float32(1.0), numpy.float32(number))

first = step(clipvalue=0.5)
assert theirs(3, 4) == 3.0
print(*steps(), first == step(clipvalue=0.5))
"""
    alone = run(f"{STEPS}print(*step(**EVERY), *step(global_clipnorm=1.0), *step(clipvalue=0.5), True)")
    assert run(STEPS + source, RMSPROP_CACHE_DIR="") == alone


def test_the_package_can_be_imported_again():
    source = """
import sys, warnings
before = step(momentum=0.5)
for name in [name for name in sys.modules if name.partition(".")[0] == "rmsprop"]:
    del sys.modules[name]
with warnings.catch_warnings():
    warnings.simplefilter("error")
    from rmsprop import RMSprop, RowSparse
    assert step(momentum=0.5) == before
    from rmsprop._core.cpu import kernels
    print(len(kernels._found) > 0)
"""
    assert run(STEPS + source) == "True"
