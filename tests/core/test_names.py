"""Saved state and parameters are matched by name, or else by position."""

import warnings

import pytest

from rmsprop._core.saving.names import Named, pair


def named(*names, shapes=None):
    return [Named(name, None if shapes is None else shapes[place]) for place, name in enumerate(names)]


@pytest.mark.parametrize(
    ("mine", "theirs", "order"),
    [
        (["a", "b"], ["a", "b"], [0, 1]),
        (["a", "b", "c"], ["c", "a", "b"], [1, 2, 0]),
        (["weight", "bias"], ["_orig_mod.bias", "_orig_mod.weight"], [1, 0]),
        (["module._orig_mod.w", "module._orig_mod.b"], ["b", "w"], [1, 0]),
        (["body._orig_mod.w", "head.w"], ["head.module.w", "body.w"], [1, 0]),
        (["module.w", "w"], ["w", "module.w"], [1, 0]),  # equal as they are: nothing is taken off
        (["w", "w"], ["w", "w"], [0, 1]),
        ([None, None], [None, None], [0, 1]),
        (["module"], ["_orig_mod.module"], [0]),
        ([], [], []),
    ],
    ids=str,
)
def test_equal_names_in_any_order(mine, theirs, order):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pair(named(*mine), named(*theirs), "file") == order


@pytest.mark.parametrize(
    ("mine", "theirs", "lines"),
    [
        (["a", "b"], ["kernel", "bias"], ["'a' <- 'kernel'", "'b' <- 'bias'"]),
        ([None, None], ["a", "b"], ["parameter 0 <- 'a'", "parameter 1 <- 'b'"]),
        (["a", "b"], [None, None], ["'a' <- parameter 0", "'b' <- parameter 1"]),
    ],
    ids=str,
)
def test_no_name_in_common_goes_by_position_and_says_so(mine, theirs, lines):
    with pytest.warns(UserWarning, match="the file goes by position") as caught:
        assert pair(named(*mine), named(*theirs), "file") == [0, 1]
    assert len(caught) == 1
    assert str(caught[0].message).splitlines()[1:] == [f"  {line}" for line in lines]
    assert caught[0].filename == __file__


def test_by_position_shapes_that_are_known_must_agree():
    mine = named("a", "b", shapes=[(2, 3), (3,)])
    with pytest.warns(UserWarning, match=r"'a' \[2, 3\] <- 'x'\n"):
        pair(mine, named("x", "y", shapes=[None, (3,)]), "file")
    with pytest.raises(ValueError, match=r"shapes differ:\n  'b' \[3\] <- 'y' \[2\]$"):
        pair(mine, named("x", "y", shapes=[(2, 3), (2,)]), "file")


@pytest.mark.parametrize(
    ("mine", "theirs", "missing", "more"),
    [
        (["a", "b"], ["a", "c"], ["b"], ["c"]),
        (["a"], ["a", "b"], [], ["b"]),
        (["a", "b"], ["_orig_mod.b"], ["a"], []),
        (["a", "a"], ["a", "b"], ["a"], ["b"]),
    ],
    ids=str,
)
def test_names_that_are_equal_in_part_are_refused_with_the_difference(mine, theirs, missing, more):
    with pytest.raises(ValueError, match="the names in the file are not") as caught:
        pair(named(*mine), named(*theirs), "file")
    lines = [f"  {name!r} is missing" for name in missing] + [f"  {name!r} is only there" for name in more]
    assert str(caught.value).splitlines()[1:] == lines


@pytest.mark.parametrize(("mine", "theirs"), [([None], [None] * 2), (["a"], [None] * 2), (["a"], ["x", "y"])], ids=str)
def test_other_numbers_are_refused(mine, theirs):
    with pytest.raises(ValueError, match="the file has 2 parameters, here are 1"):
        pair(named(*mine), named(*theirs), "file")


def test_names_that_are_repeated_tell_no_order():
    with pytest.raises(ValueError, match=r"these names several times:\n  'w'$"):
        pair(named("w", "w", "b"), named("b", "w", "w"), "file")


def test_long_lists_are_cut():
    with pytest.warns(UserWarning, match=r"\.\.\. and 68 more$"):
        pair(named(*map(str, range(100))), named(*["x" + str(place) for place in range(100)]), "file")
