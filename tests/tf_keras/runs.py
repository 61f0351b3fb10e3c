"""Runs of `rmsprop.tf_keras.RMSprop`, in the form in which tf_keras's, the oracle's and NumPy's are kept."""

import cases
import numpy
import original
import tensorflow as tf

from rmsprop.tf_keras import RMSprop

#: How a user's steps may run: one by one as they stand, in a function, and in a function that XLA compiles. And "loop",
#: all steps in one function, which is the quickest here.
WAYS = {
    "eager": lambda step: step,
    "function": tf.function,
    "xla": lambda step: tf.function(step, jit_compile=True),
}


def build(options, arrays, **arguments):
    """An optimizer, built, and its variables, name -> tf.Variable."""
    variables = {name: tf.Variable(array, name=name) for name, array in arrays.items()}
    optimizer = RMSprop(**options, **arguments)
    optimizer.build(list(variables.values()))
    return optimizer, variables


def follow(optimizer, variables, stacked, way="loop"):
    """Do a step for each row of `stacked`; slot -> name -> array with what is there after each."""
    if way == "loop":
        return original.follow(optimizer, variables, stacked)
    step = WAYS[way](lambda given: optimizer.apply_gradients(zip(given, variables.values(), strict=True)))
    slots = original.state(optimizer, variables)
    flat = cases.follow(
        lambda given: step([tf.constant(given[name], variable.dtype) for name, variable in variables.items()]),
        lambda: {(slot, name): one.numpy() for slot, named in slots.items() for name, one in named.items()},
        stacked,
    )
    return {slot: {name: flat[slot, name] for name in named} for slot, named in slots.items()}


_paths = {}


def path(case, dtype, steps=original.STEPS, way="loop", **arguments):
    """Do steps with the table's variables and gradients, once for all tests that look at them."""
    key = (case.desc, dtype, steps, way, *arguments.items())
    if key not in _paths:
        optimizer, variables = build(case.options, cases.variables(dtype), **arguments)
        _paths[key] = follow(optimizer, variables, cases.gradients(steps, dtype), way)
        assert optimizer.iterations.numpy() == steps
    return _paths[key]


def deviation(path, expected):
    """The largest deviation of each slot; `expected` may have more steps."""
    assert path.keys() == expected.keys()
    steps = len(next(iter(path["variables"].values())))
    return {
        slot: cases.deviation(path[slot], {name: rows[:steps] for name, rows in expected[slot].items()})
        for slot in expected
    }


def operations(function, *arguments):
    """The names of the operations of a `tf.function`, those of the functions that it calls among them."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return [node.op for node in nodes]


def native_operations(function, *arguments):
    """How many operations of ours it has."""
    return operations(function, *arguments).count("RmspropCall")


def assert_bits(found, expected):
    """Two arrays are of one type and the same bits, but that NaNs are alike."""
    found, expected = numpy.asarray(found), numpy.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    numpy.testing.assert_array_equal(found, expected)
    numpy.testing.assert_array_equal(numpy.signbit(found), numpy.signbit(expected))
