"""What only TensorFlow has."""

import keras
import keras_runs as runs
import numpy
import pytest
import tensorflow as tf
import tf_keras

import rmsprop.tf_keras
from rmsprop.keras import RMSprop


def native_operations(function, *arguments):
    """How many operations of ours a function has."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return [node.op for node in nodes].count("RmspropCall")


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"loss_scale_factor": 2.0}], ids=str)
def test_a_step_is_one_operation(options, monkeypatch):
    optimizer, named = runs.build(options, {"w": numpy.ones(4, "float32")})

    def step(gradient):
        optimizer.apply([gradient], list(named.values()))

    assert native_operations(tf.function(step), tf.ones(4)) == 1
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    optimizer, named = runs.build(options, {"w": numpy.ones(4, "float32")})
    assert native_operations(tf.function(step), tf.ones(4)) == 0


def test_state_is_made_outside_of_functions():
    optimizer, variable = RMSprop(use_ema=True), keras.Variable(numpy.float32(1))

    @tf.function
    def step():
        optimizer.apply([tf.ones(())], [variable])

    step()
    step()
    assert int(optimizer.iterations) == 2


@pytest.mark.parametrize("options", [{}, {"loss_scale_factor": 2.0}, {"gradient_accumulation_steps": 2}], ids=str)
def test_rows(options):
    """A sparse gradient is the dense one that it stands for."""
    results = []
    for dense in (False, True):
        optimizer, named = runs.build(options | {"clipvalue": 1.5}, {"w": numpy.ones((4, 2), "float32")})
        gradient = tf.IndexedSlices(tf.ones((3, 2)), tf.constant([1, 3, 1]), tf.constant([4, 2]))
        for _ in range(4):
            optimizer.apply([tf.convert_to_tensor(gradient) if dense else gradient], list(named.values()))
        results.append([runs.array(one) for one in optimizer.variables + list(named.values())])
    runs.assert_same(*results)


def test_tensorflows_own_variables():
    variable = tf.Variable(10.0)
    RMSprop(0.1).apply_gradients([(tf.constant(10.0), variable)])
    assert variable.numpy() == numpy.float32(9.683772)


def test_a_function_as_learning_rate_and_xla():
    model = runs.model(RMSprop(lambda: 0.1), jit_compile=True)
    with pytest.raises(NotImplementedError, match="is a Python function, which a step compiled by XLA cannot call"):
        runs.fit(model)


def test_checkpoints(tmp_path):
    model, other = runs.model(RMSprop(0.01, momentum=0.5)), runs.model(RMSprop(0.01, momentum=0.5), seed=4)
    runs.fit(model, epochs=1)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "some"))
    other.optimizer.build(other.trainable_variables)
    tf.train.Checkpoint(model=other, optimizer=other.optimizer).restore(path).expect_partial()
    for one in (model, other):
        runs.fit(one)
    runs.assert_same(runs.weights(other), runs.weights(model))


def test_the_other_keras():
    """Each says which module a model of the other Keras takes."""
    theirs = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"a model of tf_keras takes rmsprop\.tf_keras\.RMSprop"):
        theirs.compile(RMSprop(), "mse")
    with pytest.raises(ValueError, match=r"a model of Keras 3 takes rmsprop\.keras\.RMSprop"):
        runs.model(rmsprop.tf_keras.RMSprop())
    with pytest.raises(TypeError, match=r"is one of Keras 3: rmsprop\.keras\.RMSprop steps Keras 3's variables"):
        rmsprop.tf_keras.RMSprop().apply_gradients([(tf.ones(()), keras.Variable(1.0))])
    with pytest.raises(TypeError, match=r"learning_rate=.* is one of tf_keras's schedules: rmsprop\.tf_keras\.RMSprop"):
        RMSprop(tf_keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))


@pytest.mark.parametrize("gradient", [numpy.array(True), numpy.array(1j)], ids=["bool", "complex"])
def test_arrays_of_other_kinds_of_numbers(gradient):
    """TensorFlow itself would cast them."""
    with pytest.raises(TypeError, match=f"has the type {gradient.dtype.name}"):
        RMSprop().apply_gradients([(gradient, keras.Variable(1.0))])
