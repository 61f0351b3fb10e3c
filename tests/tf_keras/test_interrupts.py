"""An interrupt at any line of a step, the first and a later one, leaves nothing that the visible state does not say."""

import interrupts
import numpy
import pytest
import tensorflow as tf

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

#: Of TensorFlow's own: an exception there does not come through as it was raised.
CALLED_BY_TENSORFLOW = ("call",)

OPTIONS = {
    "plain": {"learning_rate": 0.1},
    "everything": {
        "learning_rate": 0.1, "momentum": 0.5, "centered": True, "weight_decay": 0.01, "clipnorm": 1.0, "use_ema": True,
        "ema_momentum": 0.75, "ema_overwrite_frequency": 4,
    },
    "schedule": {"learning_rate": lambda: schedules.ExponentialDecay(0.1, 4, 0.5), "momentum": 0.5},
}  # fmt: skip
GRADIENTS = [numpy.array([[0.5, -2.0, 1.0]], numpy.float32), numpy.float32(3.0)]

#: The step itself is put into a graph once in a run, and that takes a while.
TRACING = "_function"

kinds = pytest.mark.parametrize(
    ("name", "native"), [("everything", True), ("schedule", True), pytest.param("plain", False, marks=pytest.mark.slow)]
)


def lines(quick, slow):
    """From one interrupt to the next; each takes two runs of ten steps, with two graphs."""
    return pytest.mark.parametrize("every", [quick, pytest.param(slow, marks=pytest.mark.slow)])


class Run:
    """An optimizer and its variables."""

    def __init__(self, name, native, values=None):
        given = {key: value() if callable(value) else value for key, value in OPTIONS[name].items()}
        self.optimizer, self.name, self.native = RMSprop(native=native, **given), name, native
        values = values or [tf.ones([1, 3]), tf.constant(2.0)]
        self.variables = [tf.Variable(value, name=letter) for value, letter in zip(values, "ab", strict=True)]
        self.pairs = list(zip(map(tf.constant, GRADIENTS), self.variables, strict=True))

    def anew(self):
        other = Run(self.name, self.native, [one.numpy() for one in self.variables])
        other.optimizer.build(other.variables)
        state = self.optimizer.variables
        # Nothing at all, or all that a build makes.
        assert len(state) in (1, len(other.optimizer.variables))
        if len(state) > 1:
            other.optimizer.set_weights([one.numpy() for one in state])
        if self.name != "schedule":
            other.optimizer.learning_rate = self.optimizer.learning_rate.numpy()
        return other

    def step(self):
        self.optimizer.apply_gradients(self.pairs)

    def read(self):
        return {str(i): one.numpy() for i, one in enumerate((*self.variables, *self.optimizer.variables))}


def check(make, step, every, *skip, anew=Run.anew):
    assert interrupts.check_each_line(make, step, anew, Run.read, every, (*CALLED_BY_TENSORFLOW, *skip)) > 1
    assert tf.Variable(0.0, name="w").name == "w:0", "a scope was left open"


@kinds
@lines(67, 2)
def test_the_first_step(every, name, native):
    check(lambda: Run(name, native), Run.step, every, TRACING)


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_the_first_step_while_it_is_traced(native):
    check(lambda: Run("everything", native), Run.step, 17)


@kinds
@lines(47, 1)
def test_a_later_step_with_another_rate(every, name, native):
    def make():
        run = Run(name, native)
        run.step()
        if name != "schedule":
            run.optimizer.learning_rate = 0.01
        return run

    check(make, Run.step, every)


@lines(101, 1)
def test_an_option_that_is_set(every):
    def make():
        run = Run("everything", True)
        run.step()
        run.told = False
        return run

    def step(run):
        if not run.told:
            run.told = True
            run.optimizer.rho = 0.5
        run.step()

    def anew(run):
        other = run.anew()
        other.optimizer.rho = run.optimizer.rho
        other.told = True
        return other

    check(make, step, every, anew=anew)


@pytest.mark.slow
def test_a_first_step_in_a_function():
    def step(run):
        tf.function(run.step)()

    def make():
        return Run("everything", True)

    check(make, step, 29)


def test_a_build_for_other_variables_leaves_out_those_of_one_that_was_interrupted():
    """However far that had come."""
    line = 0
    while True:
        run = Run("everything", True)
        if not interrupts.interrupted(lambda run=run: run.optimizer.build(run.variables), line):
            break
        run.optimizer.build(run.variables[:1])
        usual = Run("everything", True)
        usual.optimizer.build(usual.variables[:1])
        described = [[(one.name, one.shape) for one in each.optimizer.variables] for each in (run, usual)]
        assert described[0] == described[1] or len(described[0]) == 9, line
        line += 13
    assert line > 0


def test_what_a_checkpoint_holds_outlives_an_interrupted_build(tmp_path):
    first = Run("everything", True)
    first.step()
    path = tf.train.Checkpoint(optimizer=first.optimizer).write(str(tmp_path / "checkpoint"))
    expected, line = [one.numpy() for one in first.optimizer.variables], 0
    while True:
        run = Run("everything", True)
        tf.train.Checkpoint(optimizer=run.optimizer).read(path)
        done = not interrupts.interrupted(lambda run=run: run.optimizer.build(run.variables), line)
        run.optimizer.build(run.variables)
        for found, one in zip(run.optimizer.variables, expected, strict=True):
            numpy.testing.assert_array_equal(found.numpy(), one, f"interrupted at line {line}")
        if done:
            break
        line += 13
