"""State that `tf_keras.optimizers.RMSprop` wrote goes on in ours, and ours in the original: by name and by position."""

import cases
import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import arrays

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop

#: Steps before and after the state goes over.
BEFORE, STEPS = 5, 12

# Relative to the largest element of each tensor, variables and state, over the steps after: measured up to 1.7e-7 and
# 2.4e-16. The original multiplies by rsqrt, which differs from a division by sqrt by an ulp or two.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}

_DECAY = {"initial_learning_rate": 2.0**-6, "decay_steps": 4, "decay_rate": 0.5}
_EVERYTHING = "momentum-centered-decay-global_clipnorm-ema7"
_ROWS = {case.desc: dict(case.options) for case in cases.COMBINATIONS}
SETTINGS = {
    **{name: _ROWS[name] for name in ("plain", "momentum", "centered", "ema7", _EVERYTHING)},
    "schedule": {"learning_rate": tf_keras.optimizers.schedules.ExponentialDecay(**_DECAY), "momentum": 0.9},
}

settings = pytest.mark.parametrize("name", SETTINGS)
directions = pytest.mark.parametrize(
    ("writer", "reader"), [(Original, RMSprop), (RMSprop, Original)], ids=["from the original", "to the original"]
)


class Run:
    """An optimizer and its variables; both start the same way whatever the class."""

    def __init__(self, kind, options, dtype="float32", seed=0, *, built=True):
        self.variables = {
            name: tf.Variable(array, name=name) for name, array in cases.variables(dtype, seed=seed).items()
        }
        self.optimizer, self.dtype = kind(**options), dtype
        if built:
            self.optimizer.build(list(self.variables.values()))

    def step(self, begin, end):
        given = cases.gradients(STEPS, self.dtype)
        for step in range(begin, end):
            pairs = [(tf.constant(given[name][step]), variable) for name, variable in self.variables.items()]
            self.optimizer.apply_gradients(pairs)
        return self

    def checkpoint(self):
        return tf.train.Checkpoint(optimizer=self.optimizer, variables=self.variables)

    def deviation(self, other):
        """The largest difference of variables and state, but of the number of steps, which is the same."""
        mine, theirs = (
            {str(i): array[None] for i, array in enumerate(arrays([*run.variables.values(), *run.optimizer.variables]))}
            for run in (self, other)
        )
        return cases.deviation(mine, theirs)


# Names and order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "momentum", "centered", "ema7", "momentum-centered", "momentum-ema7",
                                  "centered-ema7", "momentum-centered-ema7"])  # fmt: skip
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.matrix(6)
def test_variables_are_the_original_s(name, built):
    """The averages stand before the velocities."""
    ours, theirs = (Run(kind, _ROWS[name], built=built).step(0, 1) for kind in (RMSprop, Original))

    def described(run):
        return [(one.name, one.shape, one.dtype, one.trainable) for one in run.optimizer.variables]

    assert described(ours) == described(theirs)
    assert [one.name for one in ours.optimizer.variables()] == [one.name for one in ours.optimizer.variables]


def test_the_order_of_all_slots():
    run = Run(RMSprop, SETTINGS[_EVERYTHING])
    slots = ["average", "velocity", "momentum", "average_gradient"]
    expected = ["iteration:0", *(f"{slot}/{name}:0" for slot in slots for name in run.variables)]
    assert [variable.name for variable in run.optimizer.variables] == expected


# Checkpoints ----------------------------------------------------------------------------------------------------------


@settings
@directions
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.matrix(8)
def test_checkpoints(name, dtype, writer, reader, tmp_path):
    """Whoever is not built yet takes the state when it is."""
    one = Run(writer, SETTINGS[name], dtype).step(0, BEFORE)
    path = one.checkpoint().write(str(tmp_path / "checkpoint"))
    others = {built: Run(reader, SETTINGS[name], dtype, seed=1, built=built) for built in (True, False)}
    for other in others.values():
        status = other.checkpoint().read(path)
        other.optimizer.build(list(other.variables.values()))
        status.assert_consumed()
        status.assert_existing_objects_matched()
        assert other.deviation(one) == 0
        assert other.optimizer.iterations.numpy() == BEFORE
    one.step(BEFORE, STEPS)
    for built, other in others.items():
        assert other.step(BEFORE, STEPS).deviation(one) <= BOUNDS[dtype], built


@directions
def test_checkpoints_hold_a_learning_rate_set_by_hand(writer, reader, tmp_path):
    one, other = Run(writer, {"learning_rate": 0.5}), Run(reader, {"learning_rate": 0.25})
    one.optimizer.learning_rate = 0.125
    path = one.checkpoint().write(str(tmp_path / "checkpoint"))
    other.checkpoint().read(path).assert_consumed()
    assert other.optimizer.learning_rate.numpy() == 0.125


def test_a_schedule_of_ours_takes_over_the_original_s(tmp_path):
    one = Run(Original, SETTINGS["schedule"]).step(0, BEFORE)
    path = one.checkpoint().write(str(tmp_path / "checkpoint"))
    other = Run(RMSprop, {"learning_rate": schedules.ExponentialDecay(**_DECAY), "momentum": 0.9}, seed=1)
    other.checkpoint().read(path).assert_consumed()
    assert other.step(BEFORE, STEPS).deviation(one.step(BEFORE, STEPS)) <= BOUNDS["float32"]


# Arrays by position ---------------------------------------------------------------------------------------------------


def _by_arrays(source, target):
    target.set_weights([variable.numpy() for variable in source.variables])


def _by_variables(source, target):
    target.set_weights(source.variables)


def _by_store(source, target):
    store = {}
    source.save_own_variables(store)
    target.load_own_variables(store)


@settings
@directions
@pytest.mark.matrix(6)
def test_arrays(name, writer, reader):
    one = Run(writer, SETTINGS[name]).step(0, BEFORE)
    others = {carry: Run(reader, SETTINGS[name], seed=1) for carry in (_by_arrays, _by_variables, _by_store)}
    for carry, other in others.items():
        for mine, theirs in zip(other.variables.values(), one.variables.values(), strict=True):
            mine.assign(theirs)
        carry(one.optimizer, other.optimizer)
        assert other.deviation(one) == 0
    one.step(BEFORE, STEPS)
    for carry, other in others.items():
        assert other.step(BEFORE, STEPS).deviation(one) <= BOUNDS["float32"], carry


@directions
def test_h5_files_of_weights(writer, reader, tmp_path):
    """`save_weights` with the suffix `.weights.h5` holds the optimizer by position."""

    def model(kind):
        tf_keras.utils.set_random_seed(0)
        made = tf_keras.Sequential([tf_keras.layers.Input((2,)), tf_keras.layers.Dense(3)])
        made.compile(kind(2.0**-7, momentum=0.5, use_ema=True), "mse")
        return made

    x, y = numpy.ones((4, 2), numpy.float32), numpy.ones((4, 3), numpy.float32)
    one, other = model(writer), model(reader)
    one.fit(x, y, epochs=3, verbose=0)
    one.save_weights(tmp_path / "model.weights.h5")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    for mine, theirs in zip(other.optimizer.variables, one.optimizer.variables, strict=True):
        numpy.testing.assert_array_equal(mine.numpy(), theirs.numpy())


# State of another kind ------------------------------------------------------------------------------------------------

MOMENTUM, CENTERED = {"momentum": 0.5}, {"centered": True}


@pytest.mark.parametrize("writer", [Original, RMSprop])
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(
    ("saved", "wanted", "slot"),
    [
        (MOMENTUM, CENTERED, "average_gradient"),
        (CENTERED, MOMENTUM, "momentum"),
        ({"use_ema": True}, MOMENTUM, "momentum"),
    ],
)
def test_a_checkpoint_of_other_state_is_not_taken_for_ours(writer, built, saved, wanted, slot, tmp_path):
    """By name: what is not in the checkpoint keeps its values, and both assertions say so."""
    path = Run(writer, saved).step(0, BEFORE).checkpoint().write(str(tmp_path / "checkpoint"))
    ours = Run(RMSprop, wanted, built=built)
    status = ours.checkpoint().read(path)
    ours.optimizer.build(list(ours.variables.values()))
    for check in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(AssertionError, match=slot):
            check()
    missing = [variable for variable in ours.optimizer.variables if variable.name.startswith(f"{slot}/")]
    assert len(missing) == len(ours.variables)
    assert not any(variable.numpy().any() for variable in missing)
    status.expect_partial()


def test_the_original_takes_a_momentum_for_an_average_of_gradients(tmp_path):
    """Why ours goes by name."""
    one = Run(Original, MOMENTUM).step(0, BEFORE)
    other = Run(Original, CENTERED)
    other.checkpoint().read(one.checkpoint().write(str(tmp_path / "checkpoint"))).assert_consumed()
    for mine, theirs in zip(other.optimizer._average_gradients, one.optimizer._momentums, strict=True):
        numpy.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("kind", [Original, RMSprop])
def test_arrays_of_other_state_with_as_many_tensors_are_taken(kind):
    """They have no names, so that neither class can tell: load them into the same options."""
    one, other = Run(kind, MOMENTUM).step(0, BEFORE), Run(RMSprop, CENTERED)
    other.optimizer.set_weights(arrays(one.optimizer.variables))
    for mine, theirs in zip(other.optimizer._average_gradients, one.optimizer._momentums, strict=True):
        numpy.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_another_number_of_arrays_is_refused():
    """The original sets as many as there are, and says nothing."""
    run = Run(RMSprop, MOMENTUM).step(0, 1)
    before = arrays(run.optimizer.variables)
    for given in (before[:-1], [*before, before[-1]]):
        with pytest.raises(ValueError, match=f"{len(given)} arrays.*{len(before)} variables"):
            run.optimizer.set_weights(given)


def test_a_store_of_another_number_is_left_alone():
    """As with the original, which logs it: an optimizer without state gets none."""
    one, other, store = Run(Original, MOMENTUM).step(0, 1), Run(RMSprop, {}), {}
    one.optimizer.save_own_variables(store)
    other.optimizer.load_own_variables(store)
    assert other.optimizer.iterations.numpy() == 0


def _differently_shaped(kind, options):
    variables = [tf.Variable(tf.zeros(shape), name=name) for name, shape in (("a", (2, 3)), ("b", (4,)))]
    optimizer = kind(**options)
    optimizer.build(variables)
    return optimizer, tf.train.Checkpoint(optimizer=optimizer)


@pytest.mark.parametrize("writer", [Original, RMSprop])
def test_other_shapes_are_refused(writer, tmp_path):
    one = [tf.Variable(tf.ones((2, 3)), name="a"), tf.Variable(tf.ones(5), name="b")]
    source = writer(momentum=0.5)
    source.build(one)
    source.apply_gradients([(tf.ones_like(variable), variable) for variable in one])
    path = tf.train.Checkpoint(optimizer=source).write(str(tmp_path / "checkpoint"))
    store = {}
    source.save_own_variables(store)
    optimizer, checkpoint = _differently_shaped(RMSprop, MOMENTUM)
    with pytest.raises(ValueError, match=r"(?i)incompatible|shape"):
        checkpoint.read(path)
    for load in (lambda: optimizer.set_weights(arrays(source.variables)), lambda: optimizer.load_own_variables(store)):
        with pytest.raises(ValueError, match="shape"):
            load()
