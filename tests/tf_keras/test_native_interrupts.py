"""Signals while TensorFlow runs native steps: their handlers run in Python's own code, never within the step."""

import processes
import pytest

SOURCE = """
import random, signal, sys, time, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf
import numpy
from rmsprop.tf_keras import RMSprop

OPTIONS = dict(learning_rate=0.01, momentum=0.5, use_ema=True, global_clipnorm=3.0)
tf.config.experimental.set_synchronous_execution("asynchronous" not in sys.argv[1])

class Stop(Exception):
    pass

def stop(*ignored):
    raise Stop

def made(values):
    variables = [tf.Variable(value) for value in values]
    optimizer = RMSprop(**OPTIONS)
    optimizer.build(variables)
    gradients = [tf.ones_like(one) * 0.1 for one in variables]
    gradients[0] = tf.IndexedSlices(tf.ones((3, 30)), tf.constant([7, 0, 7]), (40, 30))
    def step():
        optimizer.apply_gradients(zip(gradients, variables))
    return optimizer, variables, tf.function(step).get_concrete_function()

optimizer, variables, step = made([tf.ones((40, 30)), tf.range(5.0)])
step()
signal.signal(signal.SIGALRM, stop)
random.seed(0)
stops, end = 0, time.monotonic() + 2
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 3e-3))
        for _ in range(20):  # Python drops what a handler raises in a callback of a weak reference
            step()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Exception as error:
        # TensorFlow's own Python makes a TypeError of some.
        while error is not None and not isinstance(error, Stop):
            error = error.__context__
        assert error is not None
        stops += 1
assert stops > 50, stops
for one in variables:
    one.assign(tf.ones_like(one))
for one in optimizer.variables[1:]:
    one.assign(tf.zeros_like(one))
other, values, fresh = made([one.numpy() for one in variables])
other.set_weights([one.numpy() for one in optimizer.variables])
for _ in range(10):
    step(), fresh()
for one, two in zip((*variables, *optimizer.variables), (*values, *other.variables)):
    numpy.testing.assert_array_equal(one.numpy(), two.numpy())
print("well")
"""


@pytest.mark.parametrize("way", ["function", pytest.param("asynchronous function", marks=pytest.mark.slow)])
def test_every_interrupt_is_what_the_handler_raises(way):
    """The process does not crash or hang, and the optimizer steps on as a new one does.

    In a function that is traced already: signals in TensorFlow's own Python around it end the process (TensorFlow 2.21,
    `convert_to_eager_tensor`, with the optimizer of tf_keras, too) and lose functions that it has traced.
    """
    assert processes.run(SOURCE, way, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3") == "well"
