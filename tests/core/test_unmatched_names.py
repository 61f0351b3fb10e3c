"""An expression of `exclude_from_weight_decay` that is found in no variable's name is told of at build."""

import warnings

import numpy
import pytest

from rmsprop import RMSprop


def made(*names, **options):
    optimizer = RMSprop(1.0, weight_decay=0.5, jit_compile=False, **options)
    optimizer.exclude_from_weight_decay(var_names=names)
    return optimizer, {"dense/kernel": numpy.ones(2), "dense/bias": numpy.ones(2), "norm": numpy.ones(2)}


def zero_step(optimizer, arrays):
    optimizer.apply_gradients([(numpy.zeros(2), array) for array in arrays.values()])


def test_each_expression_without_a_match_warns():
    optimizer, arrays = made("nope", "bias", "^kernel$", "norm")
    with pytest.warns(UserWarning, match="is found in no variable's name") as caught:
        optimizer.build(arrays)
    assert len(caught) == 2
    for warning, name in zip(caught, ("nope", "^kernel$"), strict=True):
        assert repr(name) in str(warning.message)
        assert "'dense/kernel', 'dense/bias', 'norm'" in str(warning.message)
        assert warning.filename == __file__
    zero_step(optimizer, arrays)
    assert {name: array[0] for name, array in arrays.items()} == {"dense/kernel": 0.5, "dense/bias": 1.0, "norm": 1.0}


def test_a_step_warns_as_build_does():
    optimizer, arrays = made("nope")
    with pytest.warns(UserWarning, match="'nope'.*'0', '1', '2'"):
        zero_step(optimizer, arrays)
    zero_step(optimizer, arrays)  # and only the first does


def test_without_weight_decay_it_warns_too():
    optimizer = RMSprop(jit_compile=False)
    optimizer.exclude_from_weight_decay(var_names=["nope"])
    with pytest.warns(UserWarning, match="'nope'"):
        optimizer.build([numpy.ones(2)])


def test_what_matches_is_silent():
    optimizer, arrays = made("kernel", "dense")
    optimizer.build(arrays)
    zero_step(optimizer, arrays)
    assert {name: array[0] for name, array in arrays.items()} == {"dense/kernel": 1.0, "dense/bias": 1.0, "norm": 0.5}


def test_a_refused_first_step_warns_once():
    optimizer, arrays = made("nope")
    with pytest.warns(UserWarning, match="'nope'"), pytest.raises(ValueError, match="shape"):
        optimizer.apply_gradients([(numpy.zeros(3), array) for array in arrays.values()])
    zero_step(optimizer, arrays)
    assert optimizer.iterations == 1


def test_other_expressions_or_names_are_told_of_again():
    optimizer, arrays = made("nope")
    with pytest.warns(UserWarning, match="'nope'"), pytest.raises(ValueError, match="shape"):
        optimizer.apply_gradients([(numpy.zeros(3), array) for array in arrays.values()])
    with pytest.warns(UserWarning, match="'nope'.*'dense/kernel'"):
        optimizer.build(arrays)
    optimizer, arrays = made("nope")
    with pytest.warns(UserWarning, match="'nope'"), pytest.raises(ValueError, match="shape"):
        optimizer.apply_gradients([(numpy.zeros(3), array) for array in arrays.values()])
    optimizer.exclude_from_weight_decay(var_names=["never"])
    with pytest.warns(UserWarning, match="'never'"):
        zero_step(optimizer, arrays)


def test_a_warning_that_is_an_error_changes_nothing():
    optimizer, arrays = made("nope")
    for attempt in (lambda: optimizer.build(arrays), lambda: zero_step(optimizer, arrays)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="nope"):
                attempt()
        assert list(optimizer.variables) == ["iterations"]
        assert optimizer.iterations == 0
        assert all((array == 1).all() for array in arrays.values())
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(arrays)
