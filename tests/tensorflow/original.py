"""What `tf_keras.optimizers.RMSprop` itself makes of a case: one graph a run, kept for every file that compares."""

from typing import NamedTuple

import cases
import numpy
import tensorflow as tf
import tf_keras

STEPS = 300


class Run(NamedTuple):
    """A run of the original.

    Attributes:
        path: name -> array with the variable after each step.
        state: slot -> name -> array, after the last step.
    """

    path: dict
    state: dict


class _Schedule(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A function of the step as tf_keras wants it; a plain callable it would read once."""

    def __init__(self, function):
        self.function = function

    def __call__(self, step):
        return self.function(tf.cast(step, tf.float32))


def optimizer(options):
    """The original with a case's options, without those that only ours has."""
    options = {name: value for name, value in options.items() if name != "initial_velocity"}
    if callable(options.get("learning_rate")):
        options["learning_rate"] = _Schedule(options["learning_rate"])
    return tf_keras.optimizers.RMSprop(**options)


def build(options, arrays):
    """An optimizer, built, and its variables, name -> tf.Variable."""
    variables = {name: tf.Variable(array, name=name) for name, array in arrays.items()}
    original = optimizer(options)
    original.build(list(variables.values()))
    for velocity in original._velocities:
        velocity.assign(tf.fill(velocity.shape, tf.cast(options.get("initial_velocity", 0.0), velocity.dtype)))
    return original, variables


def state(original, variables):
    """The slots, slot -> name -> array; only those that are on."""
    slots = {
        "velocity": original._velocities,
        "momentum": original._momentums,
        "average_gradient": original._average_gradients,
        "average": original._model_variables_moving_average if original.use_ema else [],
    }
    return {
        slot: {name: value.numpy() for name, value in zip(variables, values, strict=True)}
        for slot, values in slots.items()
        if values
    }


_runs = {}


def run(case, dtype):
    """Do `STEPS` steps of a case with the gradients of the table, in one graph."""
    key = case.desc, numpy.dtype(dtype).name
    if key not in _runs:
        _runs[key] = _run(case, dtype)
    return _runs[key]


def _run(case, dtype):
    original, variables = build(case.options, cases.variables(dtype))
    gradients = {name: tf.constant(rows) for name, rows in cases.gradients(STEPS, dtype).items()}

    @tf.function(autograph=False)
    def steps(gradients):
        def body(i, rows):
            original.apply_gradients([(gradients[name][i], variable) for name, variable in variables.items()])
            flat = tf.concat([tf.reshape(variable, [-1]) for variable in variables.values()], 0)
            return i + 1, rows.write(i, flat)

        rows = tf.TensorArray(tf.as_dtype(dtype), STEPS)
        return tf.while_loop(lambda i, rows: i < STEPS, body, (0, rows))[1].stack()

    flat = steps(gradients).numpy()
    assert original.iterations.numpy() == STEPS
    ends = numpy.cumsum([numpy.prod(shape, dtype=int) for shape in cases.SHAPES.values()])[:-1]
    pieces = numpy.split(flat, ends, axis=1)
    path = {name: rows.reshape(STEPS, *shape) for (name, shape), rows in zip(cases.SHAPES.items(), pieces, strict=True)}
    return Run(path, state(original, variables))
