"""What the NumPy front end refuses, and that a refusal changes nothing."""

import copy
import warnings

import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop import RMSprop, RowSparse


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
    "no pairs": (
        lambda w, b: (numbers((2, 3)), w),
        TypeError,
        r"grads_and_vars holds array[^:]* at place 0, which is no pair",
    ),
    "triples": (lambda w, b: [(w, w, w)], TypeError, "at place 0, which is no pair"),
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
    """Two launches: with the second one's kernel missing, the first one's variables have not moved."""
    from rmsprop._core.cpu import kernels

    original, calls = kernels.kernel, []

    def find_one(key):
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(key)

    monkeypatch.setattr(kernels, "kernel", find_one)
    a, b = numbers(3), numbers(3, numpy.float64)
    optimizer = RMSprop()
    with pytest.raises(KeyboardInterrupt):
        optimizer.apply_gradients([(numbers(3, seed=1), a), (numbers(3, numpy.float64, 1), b)])
    assert len(calls) == 2
    assert optimizer.iterations == 0
    numpy.testing.assert_array_equal(a, numbers(3))
    numpy.testing.assert_array_equal(b, numbers(3, numpy.float64))
    monkeypatch.undo()
    optimizer.apply_gradients([(numbers(3, seed=1), a), (numbers(3, numpy.float64, 1), b)])
    assert (a != numbers(3)).all()
    assert (b != numbers(3, numpy.float64)).all()


def test_averages_are_not_written_to_a_variable_that_changed():
    a, b = numbers(3), numbers((1, 3))
    optimizer = RMSprop(use_ema=True)
    optimizer.apply_gradients([(numbers(3), a), (numbers((1, 3)), b)])
    before = a.copy()
    b.resize((5, 3), refcheck=False)
    with pytest.raises(ValueError, match="'1' was resized"):
        optimizer.finalize_variable_values()
    numpy.testing.assert_array_equal(a, before)
