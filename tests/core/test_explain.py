"""`explain()` of the NumPy front end, and the table that its result prints."""

import explanations
import numpy
import pytest
from arrays import EVERYTHING
from processes import run

import rmsprop
from rmsprop import RMSprop


@pytest.mark.parametrize("case", explanations.TABLE["numpy"], ids=str)
@pytest.mark.parametrize("built", [False, True], ids=["before build", "built"])
def test_switches(case, built, monkeypatch):
    def explain(**arguments):
        optimizer = RMSprop(**arguments)
        if built:
            optimizer.build(explanations.arrays())
        return optimizer.explain() if built else optimizer.explain(explanations.arrays())

    explanations.check("numpy", case, monkeypatch, explain)


def variables():
    """Of several types and layouts."""
    return {
        "flat": numpy.ones((5, 6), "float32"), "turned": numpy.ones((6, 5), "float32").T,
        "half": numpy.ones(4, "float16"), "gaps": numpy.ones((6, 6), "float64")[:, ::2], "number": numpy.array(1.0),
    }  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, EVERYTHING], ids=["plain", "clipnorm", "everything"])
@pytest.mark.parametrize("excluded", [None, ["half", "flat"]])
@pytest.mark.matrix(2)
def test_launches_are_those_of_a_step(options, excluded, monkeypatch):
    named, optimizer = variables(), RMSprop(**options)
    optimizer.exclude_from_weight_decay(var_names=excluded)
    before = optimizer.explain(named)
    optimizer.build(named)
    assert optimizer.explain() == before
    counted = explanations.Counted(monkeypatch)
    optimizer.apply_gradients([(numpy.copy(w), w) for w in named.values()])
    assert counted.launches == before.launches
    assert optimizer.explain() == before


def test_some_of_those_that_it_was_built_for():
    named, optimizer = variables(), RMSprop()
    optimizer.build(named)
    found = optimizer.explain([named["half"], named["flat"]])
    assert list(found.variables) == ["half", "flat"]
    assert found.variables["half"] == optimizer.explain().variables["half"]
    with pytest.raises(ValueError, match="not among those the optimizer was built for"):
        optimizer.explain([numpy.ones(3)])


def test_without_variables():
    with pytest.raises(ValueError, match=r"call explain\(variables\), or build\(variables\) before it"):
        RMSprop().explain()


def test_nothing_is_built_or_told():
    optimizer, w = RMSprop(weight_decay=0.1), numpy.ones(3)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.explain({"w": w})
    assert list(optimizer.variables) == ["iterations"]
    with pytest.warns(UserWarning, match="'bias', which is found in no variable's name"):
        optimizer.build({"w": w})


def test_no_kernel_is_compiled(tmp_path):
    source = """
    import numpy, rmsprop
    assert rmsprop.RMSprop(clipnorm=1.0).explain([numpy.ones(3)]).launches == 2
    """
    run(source, RMSPROP_CACHE_DIR=str(tmp_path))
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]


def test_a_long_table_is_shortened_in_its_middle():
    found = RMSprop(jit_compile=False).explain([numpy.ones(number + 1) for number in range(1000)])
    lines = str(found).splitlines()
    assert lines[0].split() == ["variable", "shape", "type", "state", "way", "bytes", "why", "not", "faster"]
    assert lines[11] == "... 980 more"
    assert [line.split()[0] for line in (lines[10], lines[12])] == ["9", "990"]
    assert lines[-1] == "1000 variables in numpy, 0 launches, 20,020,000 bytes a step"
    # Numbers end where their title does.
    assert len({line.index("  jit_compile=False") for line in lines[1:11]}) == 1


def test_columns_that_say_nothing_are_left_out():
    found = RMSprop(slot_dtype="float32").explain({"w": numpy.ones(2)})
    assert str(found).splitlines()[:2] == [
        "variable  shape  type     state               way     compiler  bytes",
        "w         2      float64  velocity (float32)  native  numba        64",
    ]


def test_it_cannot_be_changed():
    found = RMSprop().explain({"w": numpy.ones(2)})
    assert isinstance(found, rmsprop.Explanation)
    assert isinstance(found.variables["w"], rmsprop.Explained)
    with pytest.raises(AttributeError):
        found.launches = 3
    with pytest.raises(TypeError):
        found.variables["w"] = None
    assert {found: 1}[RMSprop().explain({"w": numpy.ones(2)})] == 1
