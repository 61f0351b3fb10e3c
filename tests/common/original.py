"""What `tf_keras.optimizers.RMSprop` itself makes of a case: one graph a run, kept for every file that compares."""

import cases
import tensorflow as tf
import tf_keras

STEPS = 300

#: What is compared with the original: the whole table in float32. Options do in float64 what they do there, so that
#: every two of them need to meet only once.
ROWS = [(case, "float32") for case in cases.TABLE]
ROWS += [(case, "float64") for case in cases.PAIRWISE + cases.EXTREMES]


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
    """The variables and the slots that are on, slot -> name -> tensor, "variables" among them."""
    slots = {
        "variables": list(variables.values()),
        "velocity": original._velocities,
        "momentum": original._momentums,
        "average_gradient": original._average_gradients,
        "average": original._model_variables_moving_average if original.use_ema else [],
    }
    return {slot: dict(zip(variables, values, strict=True)) for slot, values in slots.items() if values}


def follow(original, variables, stacked):
    """Do a step for each row of `stacked`, in one graph; slot -> name -> array with what is there after each step."""
    dtype = next(iter(variables.values())).dtype
    given = {name: tf.constant(rows, dtype) for name, rows in stacked.items()}
    steps = len(next(iter(stacked.values())))
    slots = state(original, variables)
    pieces = [(slot, name, tensor) for slot, tensors in slots.items() for name, tensor in tensors.items()]

    @tf.function(autograph=False)
    def loop(given):
        def body(i, rows):
            original.apply_gradients([(given[name][i], variable) for name, variable in variables.items()])
            return i + 1, rows.write(i, tf.concat([tf.reshape(tensor, [-1]) for _, _, tensor in pieces], 0))

        return tf.while_loop(lambda i, rows: i < steps, body, (0, tf.TensorArray(dtype, steps)))[1].stack()

    flat, path, begin = loop(given).numpy(), {slot: {} for slot in slots}, 0
    for slot, name, tensor in pieces:
        end = begin + tensor.shape.num_elements()
        path[slot][name] = flat[:, begin:end].reshape(steps, *tensor.shape)
        begin = end
    return path


_paths = {}


def path(case, dtype):
    """The path of a case of the table: `STEPS` steps with the table's variables and gradients."""
    key = case.desc, dtype
    if key not in _paths:
        original, variables = build(case.options, cases.variables(dtype))
        _paths[key] = follow(original, variables, cases.gradients(STEPS, dtype))
        assert original.iterations.numpy() == STEPS
    return _paths[key]
