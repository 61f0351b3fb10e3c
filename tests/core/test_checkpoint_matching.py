"""What of a checkpoint belongs to what here: names, positions, options and groups, as NumPy's front end shows it."""

import json
import re
import warnings

import numpy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rmsprop import RMSprop, checkpoint, schedules

SHAPES = {"a": (2, 3), "b": (3,), "c": (2, 3)}


def built(names=("a", "b", "c"), shapes=None, **options):
    shapes = shapes or [*SHAPES.values()]
    arrays = {name: numpy.zeros(shape, "f4") for name, shape in zip(names, shapes, strict=True)}
    optimizer = RMSprop(**options)
    optimizer.build(arrays)
    return optimizer


@pytest.fixture
def saved(tmp_path):
    """A file whose velocities are 1, 2, 3."""
    optimizer = built(learning_rate=0.25, rho=0.5)
    for number, name in enumerate(SHAPES, 1):
        optimizer.variables[f"velocity/{name}"][...] = number
    optimizer.iterations = 7
    optimizer.save(tmp_path / "c", metadata={"epoch": "3"})
    return tmp_path / "c"


def velocities(optimizer):
    kept = optimizer.variables
    return {key.partition("/")[2]: array.flat[0] for key, array in kept.items() if key.startswith("velocity/")}


def rewrite(path, change):
    """Change the texts of a file."""
    with safe_open(path, framework="np") as file:
        texts = file.metadata()
    change(texts)
    save_file(load_file(path), path, metadata=texts)


def split(path, **options):
    """Put "a" and "b" into one group, and "c" into another, with other options."""

    def change(texts):
        config = json.loads(texts["rmsprop.config"])
        groups = [{"names": ["a", "b"], "config": config}, {"names": ["c"], "config": config | options}]
        texts["rmsprop.groups"] = json.dumps(groups)

    rewrite(path, change)


# Names ----------------------------------------------------------------------------------------------------------------


def test_equal_names_in_another_order(saved):
    optimizer = built(["c", "a", "b"], [(2, 3), (2, 3), (3,)], rho=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert optimizer.load(saved) == {"epoch": "3"}
    assert velocities(optimizer) == {"c": 3, "a": 1, "b": 2}
    assert (optimizer.iterations, optimizer.learning_rate) == (7, 0.25)


@pytest.mark.parametrize("names", [["x", "y", "z"], ["0", "1", "2"]])
def test_no_name_in_common_goes_by_position_and_says_so(saved, names):
    optimizer = built(names, rho=0.5)
    with pytest.warns(UserWarning, match="goes by position.*no array is transposed") as caught:
        optimizer.load(saved)
    mine = [repr(name) if name.isalpha() else f"parameter {name}" for name in names]
    for name, theirs, shape in zip(mine, SHAPES, SHAPES.values(), strict=True):
        assert f"{name} {[*shape]} <- {theirs!r} {[*shape]}" in str(caught[0].message)
    assert [*velocities(optimizer).values()] == [1, 2, 3]


def test_numbers_go_by_number(tmp_path):
    optimizer = RMSprop()
    optimizer.build([numpy.zeros(2), numpy.zeros(3)])
    optimizer.variables["velocity/1"][...] = 5
    optimizer.save(tmp_path / "c")
    again = RMSprop()
    again.build([numpy.zeros(2), numpy.zeros(3)])
    again.load(tmp_path / "c")
    assert velocities(again) == {"0": 0, "1": 5}


def test_wrappers_in_names_do_not_count(saved):
    optimizer = built(["_orig_mod.a", "module.b", "c"], rho=0.5)
    optimizer.load(saved)
    assert velocities(optimizer) == {"_orig_mod.a": 1, "module.b": 2, "c": 3}


@pytest.mark.parametrize(
    ("names", "shapes", "said"),
    [
        (["x", "y", "z"], [(3, 2), (3,), (2, 3)], r"by position shapes differ:\n  'x' \[3, 2\] <- 'a' \[2, 3\]"),
        (["x", "y"], [(2, 3), (3,)], "has 3 parameters, here are 2, and no name is on both sides"),
        (["a", "b", "x"], [(2, 3), (3,), (2, 3)], "velocity/x is missing.*\n.*velocity/c is not needed"),
        (["a", "b"], [(2, 3), (3,)], "velocity/c is not needed"),
    ],
)
def test_what_cannot_be_paired_is_refused(saved, names, shapes, said):
    optimizer = built(names, shapes, rho=0.5)
    with pytest.raises(ValueError, match=said):
        optimizer.load(saved)
    assert not any(velocities(optimizer).values())
    assert optimizer.iterations == 0


@pytest.mark.parametrize(
    ("mine", "names", "expected"),
    [
        (["x", "y", "z"], {"a": "z", "b": "y", "c": "x"}, {"x": 3, "y": 2, "z": 1}),
        (["a", "b", "x"], {"c": "x"}, {"a": 1, "b": 2, "x": 3}),
        (["a", "b", "c"], {"a": "c", "c": "a"}, {"a": 3, "b": 2, "c": 1}),
        (["a", "b", "c"], {}, {"a": 1, "b": 2, "c": 3}),
    ],
)
def test_names_decide(saved, mine, names, expected):
    optimizer = built(mine, rho=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.load(saved, names=names)
    assert velocities(optimizer) == expected


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ({"q": "x"}, ValueError, "names has 'q', which '.*' does not hold: it holds 'a', 'b', 'c'"),
        ({"a": "x"}, ValueError, "does not pair all variables.*\n  'y' is given to no variable of the file"),
        ({"a": "x", "b": "x", "c": "y"}, ValueError, "'z' is given to no variable.*\n  'x' is not a variable here, or"),
        ({"a": 1}, TypeError, "names={'a': 1} is no mapping of names in the file to names here"),
        ("abc", TypeError, "names='abc' is no mapping"),
        ({"a": "y", "b": "x", "c": "z"}, ValueError, r"velocity/x is float32 \[3\], float32 \[2, 3\] is needed"),
    ],
)
def test_names_that_cannot_decide_are_refused(saved, names, error, said):
    optimizer = built(["x", "y", "z"], rho=0.5)
    with pytest.raises(error, match=said):
        optimizer.load(saved, names=names)
    assert not any(velocities(optimizer).values())


def test_a_warning_that_is_an_error_changes_nothing(saved):
    optimizer = built(["x", "y", "z"], rho=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="by position"):
            optimizer.load(saved)
    assert not any(velocities(optimizer).values())
    assert optimizer.iterations == 0


# Options and groups ---------------------------------------------------------------------------------------------------


def test_options_that_differ_are_listed(saved):
    optimizer = built(epsilon=1e-3, clipnorm=1.0, weight_decay=0.0, ema_momentum=0.5, jit_compile=False, name="mine")
    with pytest.warns(UserWarning, match="was saved with other options") as caught:
        optimizer.load(saved)
    (warning,) = caught
    lines = str(warning.message).split("\n  ")
    assert re.fullmatch("the checkpoint '.*' was saved with other options, those here count:", lines[0])
    assert lines[1:] == [
        "rho=0.5 in the file, 0.9 here",
        "epsilon=1e-07 in the file, 0.001 here",
        "clipnorm=None in the file, 1.0 here",
    ]
    assert warning.filename == __file__


def test_averages_are_compared_where_there_are_some(tmp_path):
    built(use_ema=True).save(tmp_path / "c")
    with pytest.warns(UserWarning, match=r"ema_momentum=0.99 in the file, 0.5 here\n  ema_overwrite_frequency=100"):
        built(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None).load(tmp_path / "c")


def test_a_schedule_here_stays(saved):
    optimizer = built(learning_rate=schedules.CosineDecay(1.0, 10), rho=0.5)
    optimizer.load(saved)
    assert optimizer.learning_rate == schedules.CosineDecay(1.0, 10)(7)


def test_groups_that_are_alike_are_one_here(saved):
    split(saved)
    optimizer = built(rho=0.5)
    optimizer.load(saved)
    assert velocities(optimizer) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilon": 0.5}, "epsilon=1e-07 and 0.5"),
        ({"learning_rate": 0.5}, "learning_rate=0.25 and 0.5"),
        ({"maximize": True}, "maximize=False and True"),
    ],
)
def test_groups_that_differ_are_refused(saved, options, said):
    split(saved, **options)
    optimizer = built(rho=0.5)
    with pytest.raises(ValueError, match=f"holds groups of variables that differ and are one here: {said}"):
        optimizer.load(saved)
    assert not any(velocities(optimizer).values())


def test_rates_of_groups_do_not_matter_where_a_schedule_rules(saved):
    split(saved, learning_rate=0.5)
    optimizer = built(learning_rate=schedules.CosineDecay(1.0, 10), rho=0.5)
    optimizer.load(saved)
    assert optimizer.iterations == 7


# Files ----------------------------------------------------------------------------------------------------------------


def earlier(texts):
    del texts["rmsprop.groups"], texts["rmsprop.writer"]


def test_a_file_of_an_earlier_version_goes_by_name(saved):
    rewrite(saved, earlier)
    optimizer = built(["c", "a", "b"], [(2, 3), (2, 3), (3,)], rho=0.5)
    assert optimizer.load(saved) == {"epoch": "3"}
    assert velocities(optimizer) == {"c": 3, "a": 1, "b": 2}
    assert optimizer.learning_rate == 0.25
    other = built(["x", "y", "z"], rho=0.5)
    with pytest.raises(ValueError, match="velocity/x is missing"):
        other.load(saved)
    other.load(saved, names={"a": "x", "b": "y", "c": "z"})
    assert velocities(other) == {"x": 1, "y": 2, "z": 3}


def test_numbers_of_an_earlier_version_are_in_order(tmp_path):
    optimizer = RMSprop()
    optimizer.build([numpy.zeros(1) for _ in range(12)])
    for number in range(12):
        optimizer.variables[f"velocity/{number}"][...] = number
    optimizer.save(tmp_path / "c")
    rewrite(tmp_path / "c", earlier)
    again = built([f"w{number}" for number in range(12)], [(1,)] * 12, slot_dtype="float64")
    with pytest.warns(UserWarning, match="by position"):
        again.load(tmp_path / "c")
    assert [*velocities(again).values()] == [*range(12)]


def test_an_earlier_version_reads_what_is_written_now(saved):
    """It looks at the config, which is the first group's."""
    with safe_open(saved, framework="np") as file:
        texts = file.metadata()
    assert json.loads(texts["rmsprop.config"]) == json.loads(texts["rmsprop.groups"])[0]["config"]
    assert RMSprop.from_config(json.loads(texts["rmsprop.config"])).learning_rate == 0.25
    assert json.loads(texts["rmsprop.writer"])["front_end"] == "numpy"


@pytest.mark.parametrize(
    "groups",
    ["{", "3", "[3]", "[{}]", '[{"names": ["a"], "config": 3}]', '[{"names": "abc", "config": {"learning_rate": 1}}]',
     '[{"names": [1, 2, 3], "config": {"learning_rate": 1}}]', '[{"names": ["a"], "config": {}}]',
     '[{"names": ["a"], "config": {"learning_rate": -1}}]'],
)  # fmt: skip
def test_groups_that_nobody_can_have_written(saved, groups):
    rewrite(saved, lambda texts: texts.update({"rmsprop.groups": groups}))
    optimizer = built(rho=0.5)
    with pytest.raises(ValueError, match="c' is a checkpoint with damaged texts"):
        optimizer.load(saved)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a", "b"], ["a", "a", "b", "c"], [], ["x", "y", "z"]])
def test_groups_of_other_variables_than_the_file_has(saved, names):
    def change(texts):
        config = json.loads(texts["rmsprop.config"])
        texts["rmsprop.groups"] = json.dumps([{"names": names, "config": config}])

    rewrite(saved, change)
    optimizer = built(rho=0.5)
    with pytest.raises(ValueError, match="damaged texts: the groups hold"):
        optimizer.load(saved)
    assert not any(velocities(optimizer).values())


class TestReadMetadata:
    def test_the_users_texts(self, saved):
        assert checkpoint.read_metadata(saved) == {"epoch": "3"}
        built().save(saved)
        assert checkpoint.read_metadata(str(saved)) == {}

    def test_what_is_no_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
            checkpoint.read_metadata(tmp_path / "nothing")
        save_file({"x": numpy.zeros(1)}, tmp_path / "foreign")
        with pytest.raises(ValueError, match="is a safetensors file, but not a checkpoint"):
            checkpoint.read_metadata(tmp_path / "foreign")
        (tmp_path / "text").write_text("hello")
        with pytest.raises(ValueError, match="is not a checkpoint, or is damaged"):
            checkpoint.read_metadata(tmp_path / "text")

    def test_is_all_that_the_module_shows(self):
        assert checkpoint.__all__ == ["read_metadata"]
