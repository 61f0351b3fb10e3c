"""Interrupts while a step is traced or done eagerly: what follows is what the visible state says."""

import sys
from textwrap import dedent

import interrupts
import numpy
import pytest
import tensorflow as tf
from processes import run

from rmsprop.tf_keras import RMSprop


class Run:
    def __init__(self, options, values=None, state=None):
        self.options = options
        values = [numpy.ones((2, 3), numpy.float32), numpy.ones(4, numpy.float32)] if values is None else values
        self.variables = [tf.Variable(value) for value in values]
        self.optimizer = RMSprop(0.1, **options)
        self.optimizer.build(self.variables)
        for variable, value in zip(self.optimizer.variables, state or [], strict=False):
            variable.assign(value)

    def step(self):
        self.optimizer.apply_gradients([(tf.sin(one) + 1.0, one) for one in self.variables])

    def anew(self):
        values, state = ([one.numpy() for one in these] for these in (self.variables, self.optimizer.variables))
        return Run(self.options, values, state)

    def read(self):
        return {str(i): one.numpy() for i, one in enumerate((*self.variables, *self.optimizer.variables))}


@interrupts.every_line
@pytest.mark.parametrize("steps", [0, 1], ids=["first", "second"])
def test_an_eager_step(steps, every):
    def make():
        run = Run({"momentum": 0.9, "global_clipnorm": 1.0, "use_ema": True, "ema_overwrite_frequency": 2})
        for _ in range(steps):
            run.step()
        return run

    assert interrupts.check_each_line(make, Run.step, Run.anew, Run.read, 10 * every) > 0


@pytest.mark.slow
def test_the_first_step_of_a_process():
    """Each try goes a bit further, and finds what the ones before have left."""
    source = """
        import sys, warnings
        sys.path[:0] = {path!r}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
        import interrupts
        from rmsprop.tf_keras import RMSprop
        w = tf.Variable([1.0])
        def step():
            RMSprop(0.1).apply_gradients([(tf.ones(1), w)])
        tries = 0
        while interrupts.interrupted(step, 3 * tries):
            tries += 1
        step()
        print(tries > 50, tf.reduce_all(w < 1).numpy())
    """
    text = dedent(source).format(path=sys.path)
    assert run(text, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3") == "True True"
