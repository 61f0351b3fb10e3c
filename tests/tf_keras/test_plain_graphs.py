"""Steps in graphs that are no functions of eager code: they run for as long as the graph is there."""

import gc

import numpy
import pytest
import tensorflow as tf

from rmsprop.tf_keras import RMSprop

V1 = tf.compat.v1


def in_place(step):
    return step()


def in_a_function(step):
    return tf.function(step, autograph=False)()


def in_a_function_of_a_function(step):
    return tf.function(lambda: tf.function(step, autograph=False)() + 0, autograph=False)()


def in_a_loop(step):
    def body(i):
        with tf.control_dependencies([step()]):
            return i + 1

    return tf.while_loop(lambda i: i < 1, body, [0])


def in_a_branch(step):
    return tf.cond(V1.placeholder_with_default(True, ()), step, lambda: tf.constant(0, tf.int64))


PLACES = [in_place, in_a_function, in_a_function_of_a_function, in_a_loop, in_a_branch]


def stepped(place, native, collect):
    """What a variable is after three runs of a step in a graph of its own."""
    with tf.Graph().as_default():
        w = tf.Variable([1.0, 2.0])
        optimizer = RMSprop(0.1, momentum=0.9, native=native)
        optimizer.build([w])
        run = place(lambda: optimizer.apply_gradients([(w * 2.0, w)]))
        with V1.Session() as session:
            session.run(V1.global_variables_initializer())
            if collect:
                del optimizer
            for _ in range(3):
                if collect:
                    gc.collect()
                session.run(run)
            return session.run(w)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.matrix(2)
def test_a_step_outlives_its_optimizer(place):
    found, expected = stepped(place, None, True), stepped(place, False, False)
    numpy.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_copy_of_a_graph_runs_beside_it():
    graph = tf.Graph()
    with graph.as_default():
        w = tf.Variable([1.0, 2.0], name="w")
        done = RMSprop(0.1).apply_gradients([(w * 2.0, w)])
        start = V1.global_variables_initializer()
    definition = graph.as_graph_def()
    gc.collect()
    with tf.Graph().as_default(), V1.Session() as session:
        names = [start.name, done.op.name, "w/Read/ReadVariableOp:0"]
        *operations, value = tf.graph_util.import_graph_def(definition, return_elements=names, name="")
        for operation in operations:
            session.run(operation)
        numpy.testing.assert_allclose(session.run(value), [1 - 0.1 / 0.1**0.5, 2 - 0.1 / 0.1**0.5], rtol=1e-5)


def test_a_graph_that_is_gone_has_left_nothing():
    def one():
        with tf.Graph().as_default():
            w = tf.Variable(tf.zeros(10))
            RMSprop(0.1).apply_gradients([(w * 2.0, w)])

    def objects():
        gc.collect()
        return len(gc.get_objects())

    for _ in range(5):
        one()
    before = objects()
    for _ in range(20):
        one()
    assert objects() - before < 2_000  # a graph and its step have some 1,000
