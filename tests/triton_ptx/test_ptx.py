"""Every variant of the kernels compiles for a GPU, to IEEE arithmetic and wide loads.

The interpreter shows what the kernels compute, and these tests what the compiler makes of them; neither needs a GPU.
"""

import itertools
import re
from types import SimpleNamespace

import compiled
import numpy
import pytest
from arrays import TYPES

from rmsprop._core.cuda import norms
from rmsprop._core.cuda.step import FLAGS

NAMES = [numpy.dtype(dtype).name for dtype in TYPES]

#: Types of gradient, variable and state: all alike, or the state as `slot_dtype` asks for, or the gradient of its own.
STORAGE = [(dtype, dtype, dtype) for dtype in NAMES]
STORAGE += [("float16", "float16", "float32"), ("bfloat16", "bfloat16", "float32"), ("float32", "float32", "float64")]
STORAGE += [("float64", "float64", "float16"), ("float64", "float64", "bfloat16"), ("float32", "bfloat16", "bfloat16")]

PLAIN = frozenset()
EVERYTHING = frozenset(FLAGS) - {"clip_value"}
CLIPVALUE = frozenset({"clip_value", "momentum", "average"})


def _option_sets():
    """At most one clip, overwriting only with averages: 72."""
    clips, averages = ((), ("clip_scale",), ("clip_value",)), ((), ("average",), ("average", "overwrite"))
    rest = [name for name in FLAGS if name in ("weight_decay", "momentum", "average_gradient")]
    subsets = [chosen for size in range(4) for chosen in itertools.combinations(rest, size)]
    return [frozenset((*clip, *chosen, *average)) for clip in clips for chosen in subsets for average in averages]


def names(values):
    return "-".join(sorted(values)) if isinstance(values, frozenset) else "-".join(values)


OPTION_SETS = _option_sets()


def instructions(kernel):
    return re.findall(r"^\s+(?:@\S+ )?([a-z]\w*(?:\.\w+(?:::\w+)?)+)", kernel.asm["ptx"], re.MULTILINE)


def check_arithmetic(kernel, compute):
    """No operation is contracted, approximated, or flushes subnormals; each one says how it rounds."""
    done = set(instructions(kernel))
    short = "f64" if compute == "float64" else "f32"
    assert {f"div.rn.{short}", f"sqrt.rn.{short}", f"mul.rn.{short}", f"add.rn.{short}"} <= done
    loose = r"fma|mad\.f|ftz|approx|^(add|sub|mul|div|sqrt|rcp)\.f|rsqrt|div\.full"
    assert not {one for one in done if re.search(loose, one)}
    if compute == "float32":
        # Doubles come from the table of scalars and are not computed with.
        assert not {one for one in done if re.match(r"(add|sub|mul|div|sqrt)\S*f64", one)}


def check_width(kernel, aligned):
    loads = [one for one in instructions(kernel) if re.match(r"(ld|st)\.global", one)]
    wide = [one for one in loads if re.search(r"v4\.b32|v2\.b64", one)]
    assert bool(wide) == aligned


def check_step(storage, aligned, on, scaled):
    kernel = compiled.step(*storage, aligned, on, scaled)
    check_arithmetic(kernel, "float64" if "float64" in storage[1:] else "float32")
    check_width(kernel, aligned)


def test_the_checks_find_what_they_look_for():
    fused = SimpleNamespace(
        asm={"ptx": "".join(f"\t{one}.rn.f32 %f1;\n" for one in ("fma", "div", "sqrt", "mul", "add"))}
    )
    with pytest.raises(AssertionError):
        check_arithmetic(fused, "float32")
    with pytest.raises(AssertionError):
        check_width(fused, True)


@pytest.mark.matrix
@pytest.mark.parametrize("on", OPTION_SETS, ids=names)
def test_every_set_of_options(on):
    check_step(("float32", "float32", "float32"), True, on, scaled=False)


@pytest.mark.parametrize("on", [PLAIN, EVERYTHING, CLIPVALUE], ids=["plain", "everything", "clipvalue"])
@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("storage", STORAGE, ids=names)
@pytest.mark.matrix
def test_every_storage(storage, aligned, on):
    check_step(storage, aligned, on, scaled=on is EVERYTHING)


def test_half_types_are_rounded_to_nearest():
    # The interpreter is no witness for bfloat16: see `tests/triton/interpreter.py`.
    for dtype, rounding in (("bfloat16", "cvt.rn.bf16x2.f32"), ("float16", "cvt.rn.f16x2.f32")):
        for storage in ((dtype, dtype, dtype), ("float64", "float64", dtype)):
            assert rounding in instructions(compiled.step(*storage, True, EVERYTHING))


def test_every_array_of_the_aligned_variant_is_read_and_written_128_bits_at_a_time():
    kernel = compiled.step("float32", "float32", "float32", True, EVERYTHING)
    done = instructions(kernel)
    # 8 numbers a thread: two for each of 6 arrays that are read and 5 that are written.
    assert done.count("ld.global.v4.b32") == 12
    assert done.count("st.global.v4.b32") == 10


@pytest.mark.parametrize("scaled", [False, True], ids=["", "scaled"])
@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("dtype", NAMES)
def test_sums_of_squares(dtype, aligned, scaled):
    done = set(instructions(compiled.square_sums(dtype, aligned, scaled)))
    assert {"mul.rn.f64", "add.rn.f64"} <= done
    assert not {one for one in done if "fma" in one or "ftz" in one}
    # Four numbers a thread.
    wide = {"float16": "v2.b32", "bfloat16": "v2.b32", "float32": "v4.b32", "float64": "v2.b64"}[dtype]
    assert (f"ld.global.{wide}" in done) == aligned


@pytest.mark.parametrize("off", [(), ("found_inf",), ("grad_scale",), ("found_inf", "grad_scale")])
def test_prepare(off):
    kernel = compiled.kernel(norms.prepare, off=off)
    assert ("div.rn.f64" in instructions(kernel)) == ("grad_scale" not in off)


def test_fold_adds_one_number_after_the_other():
    done = instructions(compiled.kernel(norms.fold))
    assert done.count("add.rn.f64") == done.count("ld.global.b64") == compiled.SERIAL


def test_clip():
    done = set(instructions(compiled.kernel(norms.clip)))
    assert {"sqrt.rn.f64", "div.rn.f64"} <= done
    assert not {one for one in done if "fma" in one}
