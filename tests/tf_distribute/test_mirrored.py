"""MirroredStrategy on two replicas: the steps of `tf_keras.optimizers.RMSprop` under it, and those of one device."""

import cases
import numpy
import original
import pytest
import replicas
import tensorflow as tf
import tf_keras

import rmsprop.schedules

STEPS = 20

# Measured: 1.9e-7 against tf_keras and against one device. A gradient is the same to the last bit, and both round
# differently: tf_keras multiplies with an approximate reciprocal root, one device runs our kernels.
BOUND = 1e-6

EVERYTHING = {
    "learning_rate": cases.LEARNING_RATE, "momentum": 0.9, "centered": True, "weight_decay": cases.WEIGHT_DECAY,
    "global_clipnorm": 40.0, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7,
}  # fmt: skip


def excluding_biases(make, options):
    def made():
        optimizer = make(options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    return made


def run(make, options, strategy, dtype=numpy.float32):
    return replicas.Run(excluding_biases(make, options), strategy, cases.variables(dtype))


# The first of PAIRWISE are those in which most options meet; three graphs a case take a second and a half.
@pytest.mark.matrix(2)
@pytest.mark.parametrize("case", cases.PAIRWISE[:8], ids=str)
def test_trajectory_is_tf_keras_s_own_and_that_of_one_device(case):
    stacked = cases.gradients(STEPS, numpy.float32)
    found = run(replicas.ours, case.options, replicas.mirrored()).path(stacked, finalize=True)
    theirs = run(original.optimizer, case.options, replicas.mirrored()).path(stacked, finalize=True)
    alone = run(replicas.ours, case.options, replicas.one_device()).path(stacked, finalize=True)
    assert replicas.deviation(found, theirs) <= BOUND
    assert replicas.deviation(found, alone) <= BOUND


def test_steps_of_copies_are_explained():
    one = run(replicas.ours, {}, replicas.mirrored())
    one.step({name: numpy.zeros(array.shape) for name, array in cases.variables(numpy.float32).items()})
    optimizer = one.optimizer
    with replicas.mirrored().scope():
        alone = replicas.ours({}).explain([tf.Variable(1.0)])
    for found in (optimizer.explain(), alone):
        assert {one.way for one in found.variables.values()} == {"traced"}
        assert {one.reason for one in found.variables.values()} == {"a distribution strategy copies the variables"}

    def step():
        assert optimizer.explain() == found
        apart.append(replicas.ours({}).explain([here]).variables["0"].reason)

    found, apart, here = optimizer.explain(), [], tf.Variable(1.0, name="")
    replicas.mirrored().run(step)
    assert set(apart) == {"within a distribution strategy"}


@pytest.mark.slow
def test_float64_trajectory_is_tf_keras_s_own():
    stacked = cases.gradients(STEPS, numpy.float64)
    found = run(replicas.ours, EVERYTHING, replicas.mirrored(), numpy.float64).path(stacked, finalize=True)
    theirs = run(original.optimizer, EVERYTHING, replicas.mirrored(), numpy.float64).path(stacked, finalize=True)
    # Measured: 1e-15, roundings.
    assert replicas.deviation(found, theirs) <= 1e-13


def test_state_is_mirrored():
    mirrored = run(replicas.ours, EVERYTHING, replicas.mirrored())
    mirrored.path(cases.gradients(1, numpy.float32))
    kinds = {type(variable).__name__ for variable in mirrored.optimizer.variables}
    assert kinds == {"MirroredVariable"}
    assert len(mirrored.optimizer.variables) == 1 + 4 * len(cases.SHAPES)


SCHEDULES = {
    "tf_keras's": tf_keras.optimizers.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
    "ours": rmsprop.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
    "function": lambda step: 2.0**-6 * 0.5 ** (step / 2),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.matrix(1)
def test_learning_rate_follows_a_schedule(name):
    stacked = cases.gradients(6, numpy.float32)
    options = {"weight_decay": cases.WEIGHT_DECAY, "momentum": 0.9}
    found = run(replicas.ours, {**options, "learning_rate": SCHEDULES[name]}, replicas.mirrored())
    theirs = run(original.optimizer, {**options, "learning_rate": SCHEDULES["tf_keras's"]}, replicas.mirrored()).path(
        stacked
    )
    # Measured: 1.2e-7, as without a schedule.
    assert replicas.deviation(found.path(stacked), theirs) <= BOUND
    assert float(found.optimizer.learning_rate) == pytest.approx(2.0**-6 * 0.5**3, rel=1e-6)


def test_learning_rate_is_read_by_each_step():
    mirrored = run(replicas.ours, {"learning_rate": 0.5}, replicas.mirrored())
    mirrored.optimizer.learning_rate = 0.0
    stacked = cases.gradients(3, numpy.float32)
    path = mirrored.path(stacked)
    for name, start in cases.variables(numpy.float32).items():
        numpy.testing.assert_array_equal(path[name][-1], start)


def test_eager_run_steps_all_replicas():
    stacked = cases.gradients(3, numpy.float32)
    graph, eager = (run(replicas.ours, EVERYTHING, replicas.mirrored()) for _ in range(2))
    eager._run = lambda gradients: eager.strategy.run(eager._apply, args=(gradients,))
    # Measured: 6e-8; eagerly no operations are put together.
    assert replicas.deviation(eager.path(stacked), graph.path(stacked)) <= BOUND


def test_state_has_its_own_type_and_start():
    options = {"slot_dtype": "float32", "initial_velocity": 0.3, "use_ema": True}
    arrays = {"kernel": tf.ones((3, 4), tf.bfloat16)}
    mirrored = replicas.Run(lambda: replicas.ours(options), replicas.mirrored(), arrays)
    mirrored.optimizer.build(list(mirrored.variables.values()))
    state = mirrored.now()
    velocity = next(value for name, value in state.items() if "velocity" in name)
    numpy.testing.assert_array_equal(velocity, numpy.full((3, 4), numpy.float32(0.3)))
    assert [v.dtype.name for v in mirrored.optimizer.variables] == ["int64", "float32", "float32"]
    stacked = {"kernel": numpy.ones((3, 3, 4), numpy.float32)}
    alone = replicas.Run(lambda: replicas.ours(options), replicas.one_device(), arrays)
    # The state differs by roundings (1e-7), which bfloat16 hides from the variable.
    assert replicas.deviation(mirrored.path(stacked), alone.path(stacked)) <= BOUND
