"""Leaving variables out of weight decay, and its number."""

from functools import partial

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

NAMES = ("dense/kernel", "dense/bias", "scale")

natives = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])


def made():
    return [tf.Variable(numpy.ones(2), name=name) for name in NAMES]


def decayed(optimizer, variables):
    """Which variables a step without a gradient moves."""
    optimizer.apply_gradients([(tf.zeros(2, tf.float64), variable) for variable in variables])
    return [bool((variable.numpy() != 1).all()) for variable in variables]


def optimizer(native=None):
    return RMSprop(0.5, weight_decay=0.5, native=native)


@natives
def test_all_decay_unless_told_otherwise(native):
    assert decayed(optimizer(native), made()) == [True, True, True]


@natives
def test_by_list(native):
    mine, variables = optimizer(native), made()
    mine.exclude_from_weight_decay([variables[1]])
    assert decayed(mine, variables) == [True, False, True]


@pytest.mark.filterwarnings("ignore:exclude_from_weight_decay")  # of names that end otherwise
@natives
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["kernel"], [False, True, True]), (["^dense/"], [False, False, True]), (["b.as:0$"], [True, False, True]),
        (["scale$"], [True, True, True]), (["kernel", "scale"], [False, True, False]), ([], [True, True, True]),
    ],
)  # fmt: skip
def test_by_name(names, expected, native):
    """Regular expressions, searched in names that end in ":0"; the original finds the same."""
    mine, variables = optimizer(native), made()
    mine.exclude_from_weight_decay(var_names=names)
    assert decayed(mine, variables) == expected
    theirs, others = tf_keras.optimizers.RMSprop(0.5, weight_decay=0.5), made()
    theirs.exclude_from_weight_decay(var_names=names)
    assert decayed(theirs, others) == expected
    for one, other in zip(variables, others, strict=True):
        runs.assert_bits(one.numpy(), other.numpy())


@natives
def test_a_second_call_replaces_the_first(native):
    mine, variables = optimizer(native), made()
    mine.exclude_from_weight_decay(var_names=["kernel"])
    mine.exclude_from_weight_decay([variables[2]], ["^dense/b.as"])
    assert decayed(mine, variables) == [True, False, False]


def test_tuples_and_generators_will_do():
    mine, variables = optimizer(), made()
    mine.exclude_from_weight_decay((one for one in variables[:1]), ("bias",))
    assert decayed(mine, variables) == [False, False, True]


def test_not_after_build():
    mine, variables = optimizer(), made()
    mine.build(variables)
    with pytest.raises(ValueError, match="exclude_from_weight_decay"):
        mine.exclude_from_weight_decay(var_names=["kernel"])
    assert decayed(mine, variables) == [True, True, True]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"var_names": "kernel"}, TypeError, r"var_names='kernel' is one string: pass a list, \['kernel'\]"),
        ({"var_list": tf.Variable(1.0, name="w")}, TypeError, "var_list='w:0' is one variable"),
        ({"var_names": ["("]}, ValueError, r"var_names=\['\('\] holds no regular expression"),
        ({"var_names": [1]}, TypeError, "var_names"),
        ({"var_list": ["kernel"]}, TypeError, "var_list"),
    ],
    ids=str,
)
def test_what_is_no_list_of_variables_or_names_is_refused(arguments, error, match):
    mine = optimizer()
    mine.exclude_from_weight_decay(var_names=["kernel"])
    with pytest.raises(error, match=match):
        mine.exclude_from_weight_decay(**arguments)
    assert decayed(mine, made()) == [False, True, True]


def test_a_name_that_is_found_nowhere_is_a_warning_for_each():
    mine, variables = optimizer(), made()
    mine.exclude_from_weight_decay([variables[0]], ["nope", "bias", "^kernel"])
    with pytest.warns(UserWarning, match="var_names holds") as caught:
        mine.build(variables)
    assert [str(one.message).split(",")[0] for one in caught] == [
        f"exclude_from_weight_decay: var_names holds {name!r}" for name in ("nope", "^kernel")
    ]
    assert "'dense/kernel:0', 'dense/bias:0', 'scale:0'" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert decayed(mine, variables) == [False, False, True]  # says it once


def test_the_warning_as_an_error_leaves_nothing_behind():
    mine, variables = optimizer(), made()
    mine.exclude_from_weight_decay(var_names=["nope"])
    with pytest.raises(UserWarning, match="nope"):
        mine.apply_gradients([(tf.zeros(2, tf.float64), variables[0])])
    assert len(mine.variables) == 1
    with pytest.warns(UserWarning, match="nope"):
        assert decayed(mine, variables) == [True, True, True]


@pytest.mark.parametrize("native", [True, False, None], ids=["native", "traced", "the original"])
def test_it_passes_through_float32(native):
    """Whatever the variable's type, as with the original. The gradient is 0, so nothing else moves the variable."""
    kind = tf_keras.optimizers.RMSprop if native is None else partial(RMSprop, native=native)
    w = tf.Variable(1.0, dtype=tf.float64)
    kind(1.0, weight_decay=0.1).apply_gradients([(tf.zeros((), tf.float64), w)])
    assert w.numpy() == 1 - float(numpy.float32(0.1))
