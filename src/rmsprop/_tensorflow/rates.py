"""Learning rates that depend on the step, as tensors: traced if possible, else a call of Python at every step."""

from typing import Any

import tensorflow as tf

from rmsprop._core.rates import LearningRate, rate_function
from rmsprop._tensorflow.available import within_xla
from rmsprop.schedules._base import Formula


def rate_at(rate: LearningRate, iterations: Any) -> Any:
    """Return the learning rate of a step as a tensor.

    Args:
        rate: a schedule of ours, or a number or function that `rmsprop._core.rates.check_learning_rate` accepts.
        iterations: steps done before, an int64 tensor or variable without axes.

    Raises:
        NotImplementedError: the rate is a Python function, and XLA compiles the step or variables are distributed.
    """
    steps = tf.convert_to_tensor(iterations)
    if isinstance(rate, Formula):
        return rate(steps)
    function = rate_function(rate)
    if not tf.is_symbolic_tensor(steps):
        return tf.constant(function(int(steps)), tf.float32)
    if within_xla():
        raise NotImplementedError(
            f"learning_rate={rate!r} is a Python function, which a step compiled by XLA cannot call: "
            "use a schedule of rmsprop.schedules or of tf_keras"
        )

    if isinstance(iterations, tf.experimental.dtensor.DVariable):
        raise NotImplementedError(
            f"learning_rate={rate!r} is a Python function, which a function on a DTensor mesh cannot call: "
            "use a schedule of rmsprop.schedules or of tf_keras"
        )

    def call(step: Any) -> Any:
        return tf.constant(function(int(step)), tf.float32).numpy()

    found = tf.numpy_function(call, [steps], tf.float32)
    found.set_shape(())
    return found
