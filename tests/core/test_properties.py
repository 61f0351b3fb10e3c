"""Properties over arrays, layouts and options that nobody thought of."""

import string

import ml_dtypes
import numpy
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rmsprop import RMSprop, RowSparse
from rmsprop._core.arrays import MemoryMap, merge_axes, overlaps_itself, span
from rmsprop._core.options import Options

# Deadlines would measure the machine.
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

TYPES = [numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64]

#: Kernels of two types in `make test`, where each takes most of a second to compile; `test_kernels.py` has the others.
some_types = pytest.mark.parametrize(
    "types", [TYPES[::2], pytest.param(TYPES, marks=pytest.mark.slow)], ids=["two", "all"]
)


@st.composite
def options(draw):
    """Give options that may be combined."""
    unit, positive = st.floats(0, 1), st.floats(1e-3, 10)
    centered = draw(st.booleans())
    # Centered, a small epsilon leaves nothing but rounding where the variance cancels.
    epsilon = draw(st.floats(1e-3 if centered else 1e-7, 1))
    found = {"learning_rate": draw(st.floats(0, 1)), "rho": draw(unit), "epsilon": epsilon, "centered": centered}
    if draw(st.booleans()):
        found["momentum"] = draw(unit)
    if draw(st.booleans()):
        found["weight_decay"] = draw(unit)
    clip = draw(st.sampled_from([None, "clipnorm", "clipvalue", "global_clipnorm"]))
    if clip:
        found[clip] = draw(positive)
    if draw(st.booleans()):
        found |= {"use_ema": True, "ema_momentum": draw(unit)}
        found["ema_overwrite_frequency"] = draw(st.one_of(st.none(), st.integers(1, 4)))
    found["initial_velocity"] = draw(st.floats(0, 2))
    return found


@st.composite
def views(draw, shape, dtype):
    """Give an array of this shape that lies anyhow in its memory: permuted, reversed, with gaps, at any byte."""
    order = draw(st.permutations(range(len(shape))))
    gaps = [draw(st.integers(1, 3)) for _ in shape]
    stored = [shape[axis] * gap for axis, gap in zip(order, gaps, strict=True)]
    shift = draw(st.integers(0, 7))
    itemsize = numpy.dtype(dtype).itemsize
    memory = numpy.zeros(int(numpy.prod(stored)) * itemsize + shift, numpy.uint8)
    view = memory[shift:].view(dtype).reshape(stored)[..., *(slice(None, None, gap) for gap in gaps)]
    view = view[..., *(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)]
    return view.transpose(numpy.argsort(order).tolist())


#: Options that need the fewest arrays, and all of them: each compiles kernels, and numbers lie where they lie.
FEW_OR_ALL = st.sampled_from(
    [
        {},
        {
            "momentum": 0.9, "centered": True, "epsilon": 1e-3, "weight_decay": 0.1, "global_clipnorm": 1.0,
            "use_ema": True, "ema_overwrite_frequency": 2,
        },
    ]
)  # fmt: skip

shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)


@some_types
@QUICK
@given(data=st.data(), chosen=FEW_OR_ALL)
def test_any_view_gives_the_bits_of_a_plain_array(types, data, chosen):
    dtype = data.draw(st.sampled_from(types))
    several = data.draw(st.lists(shapes, min_size=1, max_size=3))
    types = st.sampled_from([dtype, numpy.float32])
    laid = [data.draw(views(shape, dtype)) for shape in several]
    plain = [numpy.empty(shape, dtype) for shape in several]
    random = numpy.random.default_rng(data.draw(st.integers(0, 99)))
    for one, other in zip(laid, plain, strict=True):
        other[...] = random.normal(size=other.shape)
        one[...] = other
    first, second = RMSprop(**chosen), RMSprop(jit_compile=False, **chosen)
    first.build(laid)
    second.build(plain)
    for _ in range(3):
        given_laid = [data.draw(views(shape, data.draw(types))) for shape in several]
        for gradient in given_laid:
            gradient[...] = random.normal(size=gradient.shape)
        first.apply_gradients(zip(given_laid, laid, strict=True))
        second.apply_gradients(zip(map(numpy.array, given_laid), plain, strict=True))
    for one, other in zip(laid, plain, strict=True):
        numpy.testing.assert_array_equal(one, other)
    for name, array in first.variables.items():
        numpy.testing.assert_array_equal(array, second.variables[name], err_msg=name)


# Each set of options has a kernel of its own, with the bits of NumPy's operations: `test_golden.py` compares them.
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@QUICK
@given(chosen=options(), seed=st.integers(0, 99))
def test_any_options_follow_the_oracle(compiled, chosen, seed):
    random = numpy.random.default_rng(seed)
    start = random.normal(size=30)
    w = start.copy()
    ours, theirs = RMSprop(**chosen, jit_compile=compiled), reference.Reference({"w": start}, **chosen)
    for _ in range(10):
        gradient = random.normal(size=30)
        ours.apply_gradients([(gradient, w)])
        theirs.step({"w": gradient})
    expected = theirs.variables["w"]
    # 3.3e-15 was the worst of 3000 examples; the least epsilon leaves room for a variance that cancels.
    assert abs(w - expected).max() <= 1e-12 * max(1.0, abs(expected).max())


@some_types
@QUICK
@given(data=st.data())
def test_rows_are_the_dense_gradient(types, data):
    dtype = data.draw(st.sampled_from(types))
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9))
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=12))
    random = numpy.random.default_rng(0)
    gradient = RowSparse(rows, random.normal(size=(len(rows), *shape[1:])).astype(dtype), shape)
    laid = data.draw(views(shape, dtype))
    laid[...] = 1
    for w, one in ((laid, gradient), (plain := numpy.ones(shape, dtype), gradient.to_dense())):
        RMSprop(momentum=0.9, clipnorm=1.0).apply_gradients([(one, w)])
    numpy.testing.assert_array_equal(laid, plain)


@QUICK
@given(data=st.data(), shape=shapes)
def test_merged_axes_walk_the_same_bytes(data, shape):
    one, other = (data.draw(views(shape, numpy.float32)) for _ in range(2))
    lengths, strides = merge_axes(shape, one.strides, other.strides)
    for array, merged in zip((one, other), strides, strict=True):
        assert walk(lengths, merged) == walk(shape, array.strides)


def walk(lengths, strides):
    offsets = [0]
    for length, stride in zip(lengths, strides, strict=True):
        offsets = [offset + i * stride for offset in offsets for i in range(length)]
    return offsets


@QUICK
@given(data=st.data(), shape=shapes)
def test_views_do_not_overlap_themselves_and_lie_in_their_span(data, shape):
    view = data.draw(views(shape, numpy.float64))
    assert not overlaps_itself(view)
    base = view.__array_interface__["data"][0]
    offsets = [base + offset for offset in walk(shape, view.strides)]
    if view.size:
        assert span(view) == (min(offsets), max(offsets) + 8)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8), st.integers(0, 70), st.integers(1, 9))
def test_the_memory_map_knows_what_it_touches(pieces, start, length):
    memory = numpy.zeros(80, numpy.uint8)
    base = memory.__array_interface__["data"][0]
    owned = MemoryMap([memory[first : first + size] for first, size in pieces])
    truth = any(first < start + length and start < first + size for first, size in pieces)
    assert owned.touches(base + start, base + start + length) == truth


@QUICK
@given(keyword=st.text(string.ascii_lowercase, min_size=1, max_size=12))
def test_any_other_keyword_is_refused(keyword):
    if keyword not in {*Options.__dataclass_fields__, "self"}:  # Python itself refuses a second `self`
        with pytest.raises(TypeError, match=f"no argument {keyword}=1"):
            RMSprop(**{keyword: 1})
