"""`explain()` of the tf_keras front end says of every step what its graph holds."""

import explanations
import pytest
import runs
import tensorflow as tf
import tf_launches
from arrays import EVERYTHING

from rmsprop.tf_keras import RMSprop


def variables():
    return [tf.Variable(array, name=name) for name, array in explanations.arrays().items()]


@pytest.mark.parametrize("case", explanations.TABLE["tf_keras"], ids=str)
@pytest.mark.parametrize("built", [False, True], ids=["before build", "built"])
def test_switches(case, built, monkeypatch):
    given = variables()

    def explain(**arguments):
        optimizer = RMSprop(**arguments)
        if not built:
            return optimizer.explain(given)
        optimizer.build(given)
        return optimizer.explain()

    explanations.check("tf_keras", case, monkeypatch, explain)


def explained_and_traced(optimizer, given, **options):
    """What is said within a function, and how many operations of ours the function has."""
    told = []

    def step():
        told.append(optimizer.explain(given))
        optimizer.apply_gradients([(tf.ones(variable.shape, variable.dtype), variable) for variable in given])

    operations = runs.native_operations(tf.function(step, **options))
    return told[0], operations


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, {"slot_dtype": "float32"}], ids=str)
@pytest.mark.matrix(5)
def test_what_a_graph_holds(options, dtype, native):
    optimizer, given = RMSprop(**options, native=native), [tf.Variable(tf.ones((3, 2), dtype), name="w")]
    told, operations = explained_and_traced(optimizer, given)
    assert told == optimizer.explain()
    assert (told.variables["w"].way == "native") == (operations > 0)
    assert told.variables["w"].reason == ("" if native else "native=False")


def test_within_xla():
    told, operations = explained_and_traced(RMSprop(), variables(), jit_compile=True)
    expected = "traced", "xla", "compiled by XLA: jit_compile=True in the function around"
    assert explanations.ways(told) == {"kernel": expected, "bias": expected}
    assert operations == 0


def test_an_open_shape():
    w = tf.Variable(tf.ones((2, 3)), shape=tf.TensorShape([None, 3]), name="w")
    optimizer = RMSprop()
    (told,) = optimizer.explain([w]).variables.values()
    assert (told.way, told.reason) == ("traced", "the shape of w:0 is open: (None, 3)")
    assert told.shape == (0, 3)
    optimizer.build([w])
    step = tf.function(lambda: optimizer.apply_gradients([(tf.ones((2, 3)), w)]))
    assert runs.native_operations(step) == 0


@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, EVERYTHING], ids=["plain", "clipnorm", "everything"])
@pytest.mark.parametrize("excluded", [None, ["half"]])
@pytest.mark.matrix(4)
def test_launches_are_those_of_a_step(options, excluded, monkeypatch):
    monkeypatch.setattr("rmsprop._tensorflow.native.PART_BYTES", 100)  # bytes, so that there are several
    given = [tf.Variable(tf.ones((4, 5)), name="w"), tf.Variable(tf.ones(7), name="v")]
    given.append(tf.Variable(tf.ones(3, tf.float16), name="half"))
    optimizer = RMSprop(**options)
    optimizer.exclude_from_weight_decay(var_names=excluded)
    before = optimizer.explain(given)
    optimizer.build(given)
    assert optimizer.explain() == before
    counted = tf_launches.Launches(monkeypatch)
    optimizer.apply_gradients([(tf.ones(variable.shape, variable.dtype), variable) for variable in given])
    assert counted.count() == before.launches


def test_asynchronous_execution():
    """Nothing that a step calls waits for Python."""
    optimizer, given = RMSprop(), variables()
    before = optimizer.explain(given)
    tf.config.experimental.set_synchronous_execution(False)
    try:
        assert optimizer.explain(given) == before
    finally:
        tf.config.experimental.set_synchronous_execution(True)
    assert before.variables["bias"].way == "native"


def test_some_of_those_that_it_was_built_for():
    given, optimizer = variables(), RMSprop()
    optimizer.build(given)
    assert list(optimizer.explain(given[1:]).variables) == ["bias"]
    with pytest.raises(ValueError, match="not among those the optimizer was built for"):
        optimizer.explain([tf.Variable(1.0)])


def test_without_variables():
    with pytest.raises(ValueError, match=r"call explain\(variables\), or build\(variables\) before it"):
        RMSprop().explain()
    with pytest.raises(TypeError, match="is no variable"):
        RMSprop().explain([1.0])


def test_nothing_is_built_and_the_environment_counts_at_the_first_step(monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    given, optimizer = variables(), RMSprop()
    assert optimizer.explain(given).variables["bias"].reason == "RMSPROP_NATIVE=0"
    assert len(optimizer.variables) == 1
    monkeypatch.setenv("RMSPROP_NATIVE", "1")
    optimizer.apply_gradients([(tf.ones(variable.shape), variable) for variable in given])
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    assert optimizer.explain().variables["bias"].reason == ""
