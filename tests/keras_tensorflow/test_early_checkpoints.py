"""TensorFlow's checkpoints from before the first step, read into optimizers of Keras 3 that have been trained.

Those in which a model stands beside its optimizer are among the formats of `tests/keras_resuming.py`.
"""

import keras
import keras_runs as runs
import numpy
import pytest
import tensorflow as tf

from rmsprop.keras import RMSprop

Own = keras.optimizers.RMSprop

# The state is the same, whatever does the steps; to compile kernels takes longer than all of these.
OPTIONS = {"learning_rate": 0.5, "momentum": 0.5, "centered": True, "native": False}
EVERYTHING = OPTIONS | {"use_ema": True, "ema_overwrite_frequency": None, "gradient_accumulation_steps": 2}


class Run:
    """Two variables, in two lists, and their optimizer."""

    def __init__(self, start, kind=RMSprop, built=True, steps=0, **options):
        self.variables = [keras.Variable(numpy.full(size, start, "float32")) for size in (3, 2)]
        options = EVERYTHING | options
        self.optimizer = kind(**{name: one for name, one in options.items() if name != "native" or kind is RMSprop})
        if built:
            self.optimizer.build(self.variables)
        self.step(steps)

    def step(self, steps):
        for number in range(steps):
            gradients = [tf.fill(one.shape, 1.0 + number) for one in self.variables]
            self.optimizer.apply(gradients, self.variables)
        return self.arrays()

    def checkpoint(self, *names):
        """Give a checkpoint of attributes, in the order in which TensorFlow comes to them."""
        return tf.train.Checkpoint(**{name: getattr(self, name) for name in names or ("optimizer", "variables")})

    def write(self, path, *names):
        return self.checkpoint(*names).write(str(path))

    def arrays(self):
        return [runs.array(one) for one in (*self.variables, *self.optimizer.variables)]


def started(start, count=0, **options):
    """What is there before the first step."""
    run = Run(start, **options)
    run.optimizer._iterations.assign(count)
    return run.arrays()


@pytest.fixture
def early(tmp_path):
    return Run(1.0, built=False).write(tmp_path / "early")


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("names", [("optimizer", "variables"), ("variables", "optimizer")], ids=" ".join)
@pytest.mark.matrix(2)
def test_everything_starts_again(names, built, tmp_path):
    path = Run(1.0, built=built).write(tmp_path / "early", *names)
    run = Run(2.0, steps=3)
    for _ in range(2):
        run.checkpoint(*names).read(path)
        runs.assert_same(run.arrays(), started(1.0))
        runs.assert_same(run.step(4), Run(1.0, steps=4).arrays())


def test_what_the_options_say_is_the_start(tmp_path):
    path = Run(1.0, built=False, learning_rate=0.25).write(tmp_path / "early")
    run = Run(2.0, steps=3, initial_velocity=0.75, slot_dtype="float64")
    run.checkpoint().read(path).expect_partial()
    runs.assert_same(run.arrays(), started(1.0, initial_velocity=0.75, slot_dtype="float64", learning_rate=0.25))


def test_traced_steps_go_on_with_the_state_that_they_have(early):
    run, expected = Run(2.0), Run(1.0)
    step = tf.function(lambda: run.optimizer.apply([tf.ones(one.shape) for one in run.variables], run.variables))
    for _ in range(3):
        step()
    run.checkpoint().read(early)
    for _ in range(4):
        step()
        expected.step(1)
    runs.assert_same(run.arrays(), expected.arrays())


def test_the_count_is_the_files(tmp_path):
    other = Run(1.0, built=False)
    other.optimizer._iterations.assign(7)
    path = other.write(tmp_path / "early")
    run = Run(2.0, steps=3)
    run.checkpoint().read(path)
    runs.assert_same(run.arrays(), started(1.0, count=7))


def test_of_the_optimizer_alone(tmp_path):
    """Variables stay, and averages start there."""
    path = Run(1.0, built=False).write(tmp_path / "early", "optimizer")
    run = Run(2.0, steps=4)
    weights = [runs.array(one) for one in run.variables]
    run.checkpoint("optimizer").read(path)
    expected = Run(2.0)
    for variable, average, value in zip(run.variables, run.optimizer.variables[2:4], weights, strict=True):
        numpy.testing.assert_array_equal(runs.array(variable), value)
        numpy.testing.assert_array_equal(runs.array(average), value)
    rest = [runs.array(one) for one in expected.optimizer.variables[4:]]
    runs.assert_same([runs.array(one) for one in run.optimizer.variables[4:]], rest)


@pytest.mark.parametrize("more", [False, True], ids=["without the optimizer", "with its count"])
def test_what_holds_no_optimizer_leaves_its_state(more, tmp_path):
    run = Run(2.0, steps=3)
    parts = {"optimizer": tf.train.Checkpoint(_iterations=tf.Variable(9, dtype=tf.int64))} if more else {}
    other = tf.train.Checkpoint(variables=Run(1.0, built=False).variables, **parts)
    expected = [runs.array(one) for one in run.optimizer.variables]
    run.checkpoint().read(other.write(str(tmp_path / "other"))).expect_partial()
    if more:
        expected[0] = numpy.int64(9)
    runs.assert_same([runs.array(one) for one in run.optimizer.variables], expected)
    assert {float(one[0]) for one in run.variables} == {1.0}


@pytest.mark.parametrize("order", [("optimizer", "variables"), ("variables", "optimizer")], ids=" ".join)
def test_what_is_read_before_it_is_known(order, early):
    """The checkpoint waits for each part."""
    run = Run(2.0, steps=3)
    checkpoint = tf.train.Checkpoint()
    checkpoint.read(early)
    for name in order:
        setattr(checkpoint, name, getattr(run, name))
    runs.assert_same(run.arrays(), started(1.0))


def test_what_comes_after_a_step_is_no_start(early):
    run = Run(2.0, steps=3, gradient_accumulation_steps=None)
    checkpoint = tf.train.Checkpoint()
    checkpoint.read(early)
    checkpoint.optimizer = run.optimizer
    *_, expected = run.step(1)
    averages = [runs.array(one) for one in run.optimizer.variables[2:4]]
    checkpoint.variables = run.variables
    assert {float(one[0]) for one in run.variables} == {1.0}
    runs.assert_same([runs.array(one) for one in run.optimizer.variables[2:4]], averages)
    runs.assert_same(run.arrays()[-1:], [expected])


@pytest.mark.parametrize("built", [True, False])
def test_the_last_of_several_counts(built, early, tmp_path):
    run = Run(1.0, steps=3)
    late, end = run.write(tmp_path / "late"), run.arrays()
    for paths, expected in (([early, late], end), ([late, early], started(1.0)), ([late, early, late], end)):
        other = Run(5.0, built=built, steps=3 if built else 0)
        for path in paths:
            status = other.checkpoint().read(path)
        other.optimizer.build(other.variables)
        if expected is end:
            status.assert_consumed()
        runs.assert_same(other.arrays(), expected)


def test_several_optimizers_in_one(tmp_path):
    def group(start, **arguments):
        found = [Run(start, **arguments) for _ in range(3)]
        parts = {f"{name}{number}": getattr(one, name) for number, one in enumerate(found) for name in vars(one)}
        return found, tf.train.Checkpoint(**parts)

    path = group(1.0, built=False)[1].write(str(tmp_path / "early"))
    found, checkpoint = group(2.0, steps=3)
    checkpoint.read(path)
    for one in found:
        runs.assert_same(one.arrays(), started(1.0))


@pytest.mark.parametrize("steps", [0, 3])
def test_of_kerass_own(steps, tmp_path):
    """What it has before its first step is nothing, too; and its state is ours, apart from averages."""
    options = {"use_ema": False, "gradient_accumulation_steps": None}
    theirs = Run(1.0, Own, built=steps > 0, steps=steps, **options)
    path = theirs.write(tmp_path / "theirs")
    run = Run(2.0, steps=4, **options)
    status = run.checkpoint().read(path)
    if steps:
        status.assert_consumed()
    runs.assert_same(run.arrays(), theirs.arrays() if steps else started(1.0, **options))


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("kind", [RMSprop, Own])
def test_a_momentum_is_no_average_of_gradients(kind, built, tmp_path):
    """A checkpoint also holds the state as one list, by the places in which they would be one another."""
    path = Run(1.0, kind, steps=3, centered=False, use_ema=False).write(tmp_path / "momentum")
    run = Run(2.0, built=built, momentum=0.0, use_ema=False)
    status = run.checkpoint().read(path)
    run.optimizer.build(run.variables)
    with pytest.raises(AssertionError):
        status.assert_existing_objects_matched()
    named = {one.name.rpartition("_")[2]: runs.array(one) for one in run.optimizer.variables}
    assert named["velocity"].all()
    assert not named["gradient"].any()


def test_with_a_scaled_loss(tmp_path):
    """The optimizer that scales holds this one."""

    def run(start, steps):
        found = Run(start, built=False)
        found.optimizer = keras.optimizers.LossScaleOptimizer(RMSprop(**OPTIONS | {"use_ema": True}))
        for _ in range(steps):
            found.optimizer.apply([tf.ones(one.shape) for one in found.variables], found.variables)
        return found

    path = run(1.0, 0).write(tmp_path / "early")
    found, expected = run(2.0, 3), run(1.0, 2)
    found.checkpoint().read(path)
    for _ in range(2):
        found.optimizer.apply([tf.ones(one.shape) for one in found.variables], found.variables)
    runs.assert_same([runs.array(one) for one in found.variables], [runs.array(one) for one in expected.variables])


def test_the_state_of_another_kind_of_optimizer_is_said_to_be_none_of_ours(tmp_path):
    run, other = Run(1.0, steps=3), keras.optimizers.SGD(0.5, momentum=0.5)
    other.apply([tf.ones(one.shape) for one in run.variables], [keras.Variable(one) for one in run.variables])
    path = tf.train.Checkpoint(optimizer=other).write(str(tmp_path / "other"))
    with pytest.warns(UserWarning, match="an optimizer of another kind: the state of this one starts anew"):
        tf.train.Checkpoint(optimizer=run.optimizer).read(path).expect_partial()
    assert all((runs.array(one) == 0).all() for one in run.optimizer._velocities)
