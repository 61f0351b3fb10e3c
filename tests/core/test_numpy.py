"""The NumPy front end: what it accepts, what it refuses, and that a refused step changes nothing."""

import copy
import pickle
import warnings

import ml_dtypes
import numpy
import pytest

import rmsprop
from rmsprop import RMSprop, RowSparse

EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
    "ema_overwrite_frequency": 3,
}  # fmt: skip
TYPES = [numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64]


def numbers(shape, dtype=numpy.float32, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype(dtype)


def test_the_example_of_the_specification():
    w = numpy.array(10.0)
    assert RMSprop(learning_rate=0.1).minimize(lambda: (w**2 / 2, [w]), [w]) == 50
    assert w.round(6) == 9.683772


def test_apply_gradients_returns_the_iteration():
    w, optimizer = numbers(3), RMSprop()
    assert [optimizer.apply_gradients([(numbers(3), w)]) for _ in range(3)] == [1, 2, 3]
    assert optimizer.iterations == 3


def test_no_pair_is_no_step():
    optimizer = RMSprop()
    assert optimizer.apply_gradients([]) == 0
    assert optimizer.variables == {"iterations": 0}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_variables_of_every_type_are_updated_in_place(dtype, options):
    shapes = [(), (0,), (3, 0, 2), (5,), (2, 3, 4)]
    variables = [numbers(shape, dtype) for shape in shapes]
    before = [array.copy() for array in variables]
    optimizer = RMSprop(learning_rate=0.125, **options)
    optimizer.apply_gradients((numbers(shape, dtype, 1), array) for shape, array in zip(shapes, variables, strict=True))
    for old, new in zip(before, variables, strict=True):
        assert new.dtype == dtype
        assert numpy.all(old != new)
    assert {array.dtype for name, array in optimizer.variables.items() if name != "iterations"} == {numpy.dtype(dtype)}


@pytest.mark.parametrize("slot_dtype", ["float16", "bfloat16", "float32", "float64"])
def test_slots_of_another_type(slot_dtype):
    w = numbers(5)
    optimizer = RMSprop(slot_dtype=slot_dtype, **EVERYTHING)
    optimizer.apply_gradients([(numbers(5, seed=1), w)])
    state = [array for name, array in optimizer.variables.items() if name != "iterations"]
    assert len(state) == 4
    assert {array.dtype.name for array in state} == {slot_dtype}


def test_a_float32_state_lets_a_slow_average_move():
    """In bfloat16 an average with 0.99 stalls where a hundredth of what is missing is less than half a last place."""
    one = numpy.ones(1, ml_dtypes.bfloat16)
    found = {}
    for slot_dtype in (None, "float32"):
        optimizer = RMSprop(0.0, rho=0.99, slot_dtype=slot_dtype)
        w = one.copy()
        for _ in range(2000):
            optimizer.apply_gradients([(one, w)])
        found[slot_dtype] = float(optimizer.variables["velocity/0"][0])
    # 0.01 * (1 - v) < 2**-9 from v = 0.805 on.
    assert found[None] < 0.81
    assert found["float32"] > 0.9999


def test_the_state_has_tf_keras_order_and_names():
    optimizer = RMSprop(**EVERYTHING)
    optimizer.build({"kernel": numbers((2, 2)), "bias": numbers(2)})
    assert list(optimizer.variables) == [
        "iterations", "average/kernel", "average/bias", "velocity/kernel", "velocity/bias",
        "momentum/kernel", "momentum/bias", "average_gradient/kernel", "average_gradient/bias",
    ]  # fmt: skip


def test_the_velocity_may_start_elsewhere():
    optimizer = RMSprop(initial_velocity=1.0)
    optimizer.build([numbers(3)])
    assert numpy.all(optimizer.variables["velocity/0"] == 1)


def test_building_again_for_the_same_variables_keeps_the_state():
    w, optimizer = numbers(3), RMSprop()
    optimizer.apply_gradients([(numbers(3), w)])
    velocity = optimizer.variables["velocity/0"].copy()
    optimizer.build([w])
    numpy.testing.assert_array_equal(optimizer.variables["velocity/0"], velocity)
    with pytest.raises(ValueError, match="built already, for 0"):
        optimizer.build([numbers(3)])


def test_variables_may_be_other_views_of_the_same_memory():
    flat = numbers(6)
    optimizer = RMSprop()
    optimizer.build({"a": flat[:4].reshape(2, 2), "b": flat[4:]})
    before = flat.copy()
    optimizer.apply_gradients([(numbers(2), flat[4:]), (numbers((2, 2)), flat[:4].reshape(2, 2))])
    assert numpy.all(flat != before)


def test_minimize_takes_mappings():
    parameters = {"w": numbers(3), "b": numbers(1)}
    optimizer = RMSprop()
    value = optimizer.minimize(lambda: ("value", {"b": numbers(1), "w": numbers(3)}), parameters)
    assert value == "value"
    assert list(optimizer.variables) == ["iterations", "velocity/w", "velocity/b"]
    with pytest.raises(ValueError, match="gradients for 'c', which are no variables"):
        optimizer.minimize(lambda: (0, {"c": numbers(1)}), parameters)


@pytest.mark.parametrize(
    ("loss", "error", "match"),
    [
        (3.0, TypeError, r"loss=3\.0 is not a function"),
        (lambda: 3.0, TypeError, "returned float, not a tuple"),
        (lambda: (3.0, []), ValueError, "0 gradients for 1 variables"),
    ],
)
def test_minimize_refuses_what_is_no_loss(loss, error, match):
    w = numbers(3)
    with pytest.raises(error, match=match):
        RMSprop().minimize(loss, [w])
    numpy.testing.assert_array_equal(w, numbers(3))


# Gradients ------------------------------------------------------------------------------------------------------------


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


# Refusals -------------------------------------------------------------------------------------------------------------


def read_only():
    array = numbers(3)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("variable", "error", "match"),
    [
        (lambda: numpy.arange(3), TypeError, "'0' has the type int64"),
        (lambda: numpy.ones(3, complex), TypeError, "'0' has the type complex128"),
        (lambda: numpy.ones(3, ">f4"), TypeError, "'0' has the type >f4.*native"),
        (lambda: numpy.ones(3, bool), TypeError, "'0' has the type bool"),
        (lambda: numpy.ones(3, numpy.longdouble), TypeError, "'0' has the type"),
        (lambda: [1.0], TypeError, "'0' is a list, not an array"),
        (lambda: 1.0, TypeError, "'0' is a float, not an array"),
        (lambda: numpy.float32(1), TypeError, "'0' is a float32, not an array"),
        (lambda: numpy.ma.masked_array([1.0]), TypeError, "'0' is a MaskedArray, not an array"),
        (read_only, ValueError, "'0' is read-only"),
        (lambda: numpy.lib.stride_tricks.as_strided(numbers(4), (3, 2), (4, 4)), ValueError, "'0' repeats memory"),
        (lambda: numpy.lib.stride_tricks.as_strided(numbers(4), (3,), (0,)), ValueError, "'0' repeats memory"),
    ],
)
def test_unusable_variables_are_refused(variable, error, match):
    with pytest.raises(error, match=match):
        RMSprop().build([variable()])


def test_variables_that_share_memory_are_refused():
    flat = numbers(8)
    with pytest.raises(ValueError, match="'a' and 'b' are the same array"):
        RMSprop().build({"a": flat, "b": flat})
    with pytest.raises(ValueError, match="'a' and 'b' share memory"):
        RMSprop().build({"a": flat[:5], "b": flat[4:]})
    with pytest.raises(ValueError, match="'0' and '2' share memory"):
        RMSprop().build([flat[::2], flat[1::2], flat[6:7]])
    RMSprop().build([flat[::2], flat[1::2]])


@pytest.mark.parametrize(
    ("variables", "error", "match"),
    [
        ([], ValueError, r"variables=\[\] holds no array"),
        (numpy.ones(3), TypeError, "variables is one array"),
        ({1: numpy.ones(3)}, TypeError, "variables has the key 1"),
    ],
)
def test_bad_collections_are_refused(variables, error, match):
    with pytest.raises(error, match=match):
        RMSprop().build(variables)


def resize(w, b):
    w.resize((5, 3), refcheck=False)
    return [(numbers((5, 3)), w), (numbers(2), b)]


def retype(w, b):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        w.dtype = numpy.int32
    return [(numbers((2, 3)), w), (numbers(2), b)]


def reshape(w, b):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy advises against setting a shape, and allows it
        w.shape = (3, 2)
    return [(numbers((3, 2)), w), (numbers(2), b)]


def lock(w, b):
    b.flags.writeable = False
    return [(numbers((2, 3)), w), (numbers(2), b)]


REFUSED = {
    "shape": (lambda w, b: [(numbers((2, 3)), w), (numbers(3), b)], ValueError, r"'b' has the shape \(3,\)"),
    "broadcast": (lambda w, b: [(numbers((2, 3)), w), (numbers(1), b)], ValueError, r"'b' has the shape \(1,\)"),
    "integers": (lambda w, b: [(numbers((2, 3)), w), (numpy.ones(2, int), b)], TypeError, "'b' has the type int64"),
    "complex": (lambda w, b: [(numbers((2, 3)), w), (numpy.ones(2, complex), b)], TypeError, "'b' has the type compl"),
    "text": (lambda w, b: [(numbers((2, 3)), w), ("no", b)], TypeError, "'b' has the type <U2"),
    "rows": (lambda w, b: [(RowSparse([0], [[1.0]], (2, 1)), w), (numbers(2), b)], ValueError, r"'w' has the shape"),
    "twice": (lambda w, b: [(numbers((2, 3)), w), (numbers(2), b), (numbers(2), b)], ValueError, "'b' is given twice"),
    "twice, once None": (lambda w, b: [(None, b), (numbers(2), b)], ValueError, "'b' is given twice"),
    "unknown": (lambda w, b: [(numbers((2, 3)), w), (numbers(2), numbers(2))], ValueError, "not among .*w, b"),
    "no array": (lambda w, b: [(numbers((2, 3)), w), (numbers(2), "b")], ValueError, "that is a str is not among"),
    "all None": (lambda w, b: [(None, w), (None, b)], ValueError, "no variable has a gradient: all of w, b"),
    "read-only": (lock, ValueError, "'b' has become read-only"),
    "masked": (lambda w, b: [(numbers((2, 3)), w), (numpy.ma.ones(2), b)], TypeError, "'b' is a masked array"),
    "ragged": (lambda w, b: [(numbers((2, 3)), w), ([[1.0], []], b)], ValueError, "'b' is no array"),
    "reshaped": (reshape, ValueError, "'w' was resized, reshaped or retyped"),
    "resized": (resize, ValueError, "'w' was resized, reshaped or retyped"),
    "retyped": (retype, ValueError, "'w' was resized, reshaped or retyped"),
}


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_step_changes_nothing(name, options):
    pairs, error, match = REFUSED[name]
    w, b = numbers((2, 3)), numbers(2)
    optimizer = RMSprop(**options)
    optimizer.build({"w": w, "b": b})
    optimizer.apply_gradients([(numbers((2, 3), seed=1), w), (numbers(2, seed=1), b)])
    before = copy.deepcopy((w, b, optimizer.variables))
    with pytest.raises(error, match=match):
        optimizer.apply_gradients(pairs(w, b))
    assert w.tobytes()[: before[0].nbytes] == before[0].tobytes()
    numpy.testing.assert_array_equal(b, before[1])
    for state, old in before[2].items():
        numpy.testing.assert_array_equal(optimizer.variables[state], old)


#: What is no mistake before the variables are known.
ONCE_BUILT = {"unknown", "reshaped", "resized", "retyped", "read-only"}


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ONCE_BUILT])
def test_a_refused_first_step_builds_nothing(name):
    """So that the optimizer can still be built, and weight decay be excluded, once the mistake is mended."""
    w, b = numbers((2, 3)), numbers(2)
    optimizer = RMSprop(**EVERYTHING)
    with pytest.raises((ValueError, TypeError)):
        optimizer.apply_gradients(REFUSED[name][0](w, b))
    with pytest.raises(ZeroDivisionError):
        optimizer.minimize(lambda: 1 / 0, [w, b])
    with pytest.raises(ValueError, match="2 variables"):
        optimizer.minimize(lambda: (0.0, []), [w, b])
    assert optimizer.variables == {"iterations": 0}
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.build({"w": w, "b": b})


def test_nothing_is_written_before_every_kernel_is_compiled(monkeypatch):
    """Two buckets: with the second one's kernel missing, the first one's variables have not moved."""
    from rmsprop.compilers.numba import Launch

    original, calls = Launch.compile, []

    def compile_once(launch):
        calls.append(launch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(launch)

    monkeypatch.setattr(Launch, "compile", compile_once)
    a, b = numbers(3), numbers(3, numpy.float64)
    with pytest.raises(KeyboardInterrupt):
        RMSprop().apply_gradients([(numbers(3, seed=1), a), (numbers(3, numpy.float64, 1), b)])
    assert len(calls) == 2
    numpy.testing.assert_array_equal(a, numbers(3))
    numpy.testing.assert_array_equal(b, numbers(3, numpy.float64))


def test_averages_are_not_written_to_a_variable_that_changed():
    a, b = numbers(3), numbers((1, 3))
    optimizer = RMSprop(use_ema=True)
    optimizer.apply_gradients([(numbers(3), a), (numbers((1, 3)), b)])
    before = a.copy()
    b.resize((5, 3), refcheck=False)
    with pytest.raises(ValueError, match="'1' was resized"):
        optimizer.finalize_variable_values()
    numpy.testing.assert_array_equal(a, before)


# Weight decay, averages, copies ---------------------------------------------------------------------------------------


def test_weight_decay_leaves_out_by_name_and_by_variable():
    w = {name: numpy.ones(2) for name in ("dense/kernel", "dense/bias", "norm/scale", "head")}
    optimizer = RMSprop(learning_rate=1.0, weight_decay=0.25)
    optimizer.exclude_from_weight_decay(var_names=["nothing"])
    optimizer.exclude_from_weight_decay(var_list=[w["head"]], var_names=["bias$", "^norm"])
    optimizer.build(w)
    optimizer.apply_gradients((numpy.zeros(2), array) for array in w.values())
    assert {name: array[0] for name, array in w.items()} == {
        "dense/kernel": 0.75, "dense/bias": 1.0, "norm/scale": 1.0, "head": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"comes before build"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_weight_decay_knows_another_view_of_a_variable():
    w = numpy.ones(2)
    optimizer = RMSprop(learning_rate=1.0, weight_decay=0.25)
    optimizer.exclude_from_weight_decay(var_list=[w[:]])
    optimizer.apply_gradients([(numpy.zeros(2), w)])
    numpy.testing.assert_array_equal(w, 1.0)


def test_exclusions_that_cannot_be_meant_are_refused():
    optimizer = RMSprop(weight_decay=0.1)
    with pytest.raises(TypeError, match="var_names='bias' is one string"):
        optimizer.exclude_from_weight_decay(var_names="bias")
    with pytest.raises(TypeError, match="var_list is one array"):
        optimizer.exclude_from_weight_decay(var_list=numbers(3))
    optimizer.exclude_from_weight_decay(var_list=[numbers(3)])
    with pytest.raises(ValueError, match="not among"):
        optimizer.build([numbers(3)])


def test_a_bad_expression_is_refused():
    with pytest.raises(ValueError, match=r"var_names=\['\('\] holds no regular expression"):
        RMSprop().exclude_from_weight_decay(var_names=["("])


def test_weight_decay_of_zero_is_off():
    w = numpy.array([numpy.inf, -0.0])
    RMSprop(weight_decay=0.0).apply_gradients([(numpy.zeros(2), w)])
    assert w[0] == numpy.inf
    assert numpy.signbit(w[1])


def test_finalize_writes_the_averages():
    a, b = numpy.ones(2), numpy.ones(2)
    optimizer = RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0, use_ema=True, ema_momentum=0.5)
    optimizer.apply_gradients([(numpy.full(2, 0.5), a), (numpy.full(2, 0.5), b)])
    optimizer.finalize_variable_values([b])
    assert (a[0], b[0]) == (0.5, 0.75)
    optimizer.finalize_variable_values()
    assert a[0] == 0.75
    with pytest.raises(ValueError, match="not among"):
        optimizer.finalize_variable_values([numpy.ones(2)])


def test_finalize_without_averages_does_nothing():
    w = numbers(2)
    optimizer = RMSprop()
    optimizer.apply_gradients([(numbers(2), w)])
    before = w.copy()
    optimizer.finalize_variable_values([w])
    numpy.testing.assert_array_equal(w, before)
    with pytest.raises(ValueError, match="finalize_variable_values needs the variables"):
        RMSprop(use_ema=True).finalize_variable_values()


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))], ids=["copy", "pickle"]
)
def test_copies_go_on_by_themselves(again):
    w = {"w": numbers(5), "b": numbers(2)}
    optimizer = RMSprop(**EVERYTHING)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.build(w)
    step = lambda o, v: o.apply_gradients([(numbers(5, seed=2), v["w"]), (numbers(2, seed=2), v["b"])])  # noqa: E731
    step(optimizer, w)
    twin, v = again((optimizer, w))
    step(optimizer, w)
    assert not numpy.array_equal(w["w"], v["w"])
    step(twin, v)
    numpy.testing.assert_array_equal(w["w"], v["w"])
    numpy.testing.assert_array_equal(w["b"], v["b"])
    assert twin.iterations == 2


def test_the_plain_rule_gives_the_same_bits():
    for dtype in TYPES:
        w, plain = numbers((30, 700), dtype), numbers((30, 700), dtype)
        kernel, rule = RMSprop(**EVERYTHING), RMSprop(jit_compile=False, **EVERYTHING)
        for seed in range(4):
            gradient = numbers((30, 700), dtype, seed)
            kernel.apply_gradients([(gradient, w)])
            rule.apply_gradients([(gradient, plain)])
        numpy.testing.assert_array_equal(w, plain)


def test_the_public_names():
    assert set(rmsprop.__all__) == {"RMSprop", "RowSparse", "__version__", "recipes", "schedules"}
