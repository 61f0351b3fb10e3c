"""Gradients in every form: on shared memory, with gaps, of other types, missing, sparse."""

import copy
import itertools

import numpy
import pytest
from arrays import EVERYTHING, TYPES, numbers

from rmsprop import RMSprop, RowSparse


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize(
    "lie", [lambda w: w, lambda w: w[::-1], lambda w: w[:, ::2]], ids=["itself", "reversed", "cut"]
)
def test_a_gradient_may_share_memory_with_variables(options, lie):
    """The step is that of a copy, also when other variables lie where it is."""
    flat = numbers((8, 6))
    apart = flat.copy()
    shared, alone = RMSprop(**options), RMSprop(**options)
    for _ in range(3):
        one, two = flat[:4, :3], flat[4:, :3]
        gradients = [lie(flat[:4])[:4, :3], flat[3:7, 1:4]]
        copies = [gradient.copy() for gradient in gradients]
        alone.apply_gradients(zip(copies, [apart[:4, :3], apart[4:, :3]], strict=True))
        shared.apply_gradients(zip(gradients, [one, two], strict=True))
        numpy.testing.assert_array_equal(flat, apart)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_gradient_may_be_the_variable(options):
    w, apart = numbers(40_000), numbers(40_000)
    shared, alone = RMSprop(**options), RMSprop(**options)
    for _ in range(3):
        shared.apply_gradients([(w, w)])
        alone.apply_gradients([(apart.copy(), apart)])
    numpy.testing.assert_array_equal(w, apart)


def test_a_gradient_may_be_the_state():
    w, apart = numbers(5), numbers(5)
    shared, alone = RMSprop(momentum=0.9), RMSprop(momentum=0.9)
    for optimizer, variable in ((shared, w), (alone, apart)):
        optimizer.apply_gradients([(numbers(5, seed=1), variable)])
    for _ in range(3):
        shared.apply_gradients([(shared.variables["momentum/0"][::-1], w)])
        alone.apply_gradients([(alone.variables["momentum/0"][::-1].copy(), apart)])
    numpy.testing.assert_array_equal(w, apart)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize(
    "gradient",
    [
        lambda: numpy.arange(12, dtype=numpy.float16)[::2],
        lambda: (numpy.arange(6) + 7j).astype(numpy.complex64).real,
        lambda: numpy.arange(12, dtype=numpy.float32)[::2],
        lambda: numpy.zeros(6, [("a", "f4"), ("b", "f4")])["a"],
    ],
)
@pytest.mark.matrix(4)
def test_gaps_as_wide_as_the_variables_numbers_are_gaps(gradient, dtype):
    """Such a gradient has the variable's strides, but is no block of memory."""
    w = numpy.zeros(6, dtype)
    RMSprop(1.0, rho=1.0, epsilon=1.0).apply_gradients([(gradient(), w)])
    numpy.testing.assert_array_equal(w, -gradient().astype(dtype))


@pytest.mark.parametrize("dtype", [*TYPES, ">f4", ">f8"])
def test_gradients_of_another_type_are_converted_once(dtype):
    gradient = numbers(7, seed=1).astype(dtype)
    w, apart = numbers(7), numbers(7)
    RMSprop().apply_gradients([(gradient, w)])
    RMSprop().apply_gradients([(gradient.astype(numpy.float32), apart)])
    numpy.testing.assert_array_equal(w, apart)


def test_the_order_of_the_pairs_does_not_show():
    found = []
    for order in (range(5), reversed(range(5))):
        variables = [numbers(1000, seed=i) for i in range(5)]
        optimizer = RMSprop(global_clipnorm=0.1)
        optimizer.build(variables)
        optimizer.apply_gradients([(numbers(1000, seed=i + 9), variables[i]) for i in order])
        found.append(numpy.concatenate(variables))
    numpy.testing.assert_array_equal(*found)


def test_numbers_and_lists_are_gradients():
    w, b = numpy.array(1.0), numbers(2, numpy.float64)
    RMSprop(rho=1.0, epsilon=1.0, learning_rate=1.0).apply_gradients([(0.25, w), ([1.0, 2.0], b)])
    assert w == 0.75
    numpy.testing.assert_array_equal(b, numbers(2, numpy.float64) - [1.0, 2.0])


def test_variables_without_gradient_are_left_out_with_a_warning():
    a, b = numbers(3), numbers(3)
    optimizer = RMSprop(**EVERYTHING)
    optimizer.build({"a": a, "b": b})
    state = copy.deepcopy(optimizer.variables)
    with pytest.warns(UserWarning, match="left as they are: b$"):
        optimizer.apply_gradients([(numbers(3), a), (None, b)])
    numpy.testing.assert_array_equal(b, numbers(3))
    for name in ("average/b", "velocity/b", "momentum/b", "average_gradient/b"):
        numpy.testing.assert_array_equal(optimizer.variables[name], state[name])
    assert optimizer.iterations == 1


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("options", [{}, EVERYTHING, {"clipnorm": 0.1}], ids=["plain", "everything", "clipnorm"])
@pytest.mark.parametrize(
    "variable",
    [
        lambda: numbers((40, 1000)),
        lambda: numbers((40, 2000))[:, ::2],
        lambda: numpy.asfortranarray(numbers((40, 1000))),
    ],
    ids=["contiguous", "strided", "fortran"],
)
def test_rows_give_the_bits_of_the_dense_gradient(variable, options, jit_compile):
    w, dense = variable(), variable()
    sparse, full = RMSprop(jit_compile=jit_compile, **options), RMSprop(**options)
    for seed in range(3):
        rows = numpy.random.default_rng(seed).integers(0, 40, 11)
        gradient = RowSparse(rows, numbers((11, 1000), seed=seed), w.shape)
        sparse.apply_gradients([(gradient, w)])
        full.apply_gradients([(gradient.to_dense(), dense)])
    numpy.testing.assert_array_equal(w, dense)


@pytest.mark.parametrize("dtype", [*TYPES, ">f4"])
@pytest.mark.matrix(3)
def test_rows_give_the_same_bits_in_any_memory_order(dtype):
    """Also where the sum of repeats is beyond the type of the values."""
    gradient = RowSparse([0, 0, 2], numpy.array([[60000, 1], [60000, 1], [1, 1]], dtype), (3, 2))
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0}
    expected = -gradient.to_dense().astype(numpy.float32)
    assert expected[0, 0] <= -119000
    for order in "CF":
        w = numpy.zeros((3, 2), numpy.float32, order)
        RMSprop(**options).apply_gradients([(gradient, w)])
        numpy.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("dtype", [*TYPES, ">f4"])
@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [2, 0, 2], [4, 4, 4]], ids=str)
def test_rows_may_lie_in_any_order(rows, dtype, jit_compile):
    """The axes of the values may lie in memory in any order, and backwards."""
    values = numbers((3, 3, 2, 4)).astype(dtype)
    expected = stepped(RowSparse(rows, values, (5, 3, 2, 4)), jit_compile)
    for axes in itertools.permutations(range(4)):
        lying = numpy.ascontiguousarray(values.transpose(axes)).transpose(numpy.argsort(axes))
        backwards = lying[:, ::-1].copy("K")[:, ::-1]
        for given in (lying, backwards):
            gradient = RowSparse(rows, given, (5, 3, 2, 4))
            assert gradient.coalesce()[1].flags.c_contiguous
            numpy.testing.assert_array_equal(stepped(gradient, jit_compile), expected)


def stepped(gradient, jit_compile):
    """Give zeros after a step that takes the gradient off, clipped."""
    w = numpy.zeros(gradient.shape, numpy.float32)
    RMSprop(1.0, rho=1.0, epsilon=1.0, clipnorm=4.0, jit_compile=jit_compile).apply_gradients([(gradient, w)])
    return w


def test_rows_may_be_rows_of_the_variable():
    w, apart = numbers((40_000, 2)), numbers((40_000, 2))
    rows = numpy.arange(1, 40_000)
    for _ in range(2):
        RMSprop().apply_gradients([(RowSparse(rows, apart[:-1].copy(), apart.shape), apart)])
        RMSprop().apply_gradients([(RowSparse(rows, w[:-1], w.shape), w)])
    numpy.testing.assert_array_equal(w, apart)


def test_rows_of_half_types_are_summed_in_float32():
    values = numpy.ones((4097, 1), numpy.float16)
    rows, sums = RowSparse(numpy.zeros(4097, int), values, (3, 1)).coalesce()
    assert (rows.tolist(), sums.tolist()) == ([0], [[4097.0]])  # float16 stops at 2048


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([3], numpy.ones((1, 2)), (3, 2)), ValueError, "indices holds 3, which is not from 0 to 2"),
        (([-1], numpy.ones((1, 2)), (3, 2)), ValueError, "indices holds -1"),
        (([0.5], numpy.ones((1, 2)), (3, 2)), TypeError, "indices has the type float64"),
        (([[0]], numpy.ones((1, 2)), (3, 2)), ValueError, r"indices has the shape \(1, 1\)"),
        (([0], numpy.ones((1, 3)), (3, 2)), ValueError, r"values has the shape \(1, 3\), not \(1, 2\)"),
        (([0], numpy.ones(1), ()), ValueError, r"shape=\(\) has no axis"),
        (([0], numpy.ones(1), (2.7,)), ValueError, r"shape=\(2\.7,\) is not made of whole numbers"),
        (([0], numpy.ones(1), (-1,)), ValueError, r"shape=\(-1,\) is not made of whole numbers"),
        (([0], numpy.ones(1), 3), TypeError, "shape=3 is not a tuple"),
        (([0], numpy.ones((1, 2), int), (3, 2)), TypeError, "values has the type int64"),
        (([0], numpy.ones((1, 2), complex), (3, 2)), TypeError, "values has the type complex128"),
        (([0], numpy.ma.ones((1, 2)), (3, 2)), TypeError, "is a masked array"),
    ],
)
def test_bad_rows_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        RowSparse(*arguments)


def test_no_rows_and_empty_rows():
    w, v = numbers((3, 2)), numbers((3, 0))
    optimizer = RMSprop(weight_decay=0.5, learning_rate=1.0)
    gradients = [RowSparse([], numpy.ones((0, 2)), (3, 2)), RowSparse([1], numpy.ones((1, 0)), (3, 0))]
    optimizer.apply_gradients(zip(gradients, [w, v], strict=True))
    numpy.testing.assert_array_equal(w, numbers((3, 2)) * numpy.float32(0.5))
