"""OneDeviceStrategy and CentralStorageStrategy: the steps of one device."""

import cases
import numpy
import original
import pytest
import replicas
import tensorflow as tf
import tf_keras

STRATEGIES = {
    "one device": lambda: tf.distribute.OneDeviceStrategy("CPU:1"),
    "central storage": lambda: tf.distribute.experimental.CentralStorageStrategy(["CPU:0", "CPU:1"], "CPU:0"),
}
SCHEDULE = tf_keras.optimizers.schedules.ExponentialDecay(2.0**-6, 2, 0.5)
EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": cases.WEIGHT_DECAY, "global_clipnorm": 40.0, "use_ema": True,
    "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
}  # fmt: skip

# Measured: 1.6e-7, as without a strategy.
BOUND = 1e-6


def run(strategy, make=replicas.ours, **options):
    return replicas.Run(lambda: make(EVERYTHING | options), strategy, cases.variables(numpy.float32))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.matrix(1)
def test_trajectory_is_that_of_tf_keras_and_of_one_device(name):
    stacked = cases.gradients(5, numpy.float32)
    found = run(STRATEGIES[name]()).path(stacked, finalize=True)
    theirs = run(STRATEGIES[name](), original.optimizer).path(stacked, finalize=True)
    assert replicas.deviation(found, theirs) <= BOUND
    assert replicas.deviation(found, run(replicas.one_device()).path(stacked, finalize=True)) <= BOUND


@pytest.mark.parametrize("name", STRATEGIES)
def test_schedule_rules(name):
    stacked = cases.gradients(3, numpy.float32)
    found = run(STRATEGIES[name](), learning_rate=SCHEDULE).path(stacked)
    assert replicas.deviation(found, run(replicas.one_device(), learning_rate=SCHEDULE).path(stacked)) <= BOUND


def test_tf_keras_s_own_has_no_schedules_with_central_storage():
    theirs = run(STRATEGIES["central storage"](), original.optimizer, learning_rate=SCHEDULE)
    with pytest.raises(ValueError, match="(?i)aggregation"):
        theirs.step(cases.at(cases.gradients(1, numpy.float32), 0))


@pytest.mark.parametrize("name", STRATEGIES)
def test_step_outside_of_run_is_refused(name):
    strategy = STRATEGIES[name]()
    found = run(strategy)
    with strategy.scope(), pytest.raises(RuntimeError, match=r"Strategy(V1)?\.run"):
        found.optimizer.apply_gradients([(tf.ones(one.shape), one) for one in found.variables.values()])


@pytest.mark.parametrize("name", STRATEGIES)
def test_step_outside_of_the_scope_is_one_device_s(name):
    """The variables are ordinary ones there."""
    stacked = cases.gradients(3, numpy.float32)
    found = run(STRATEGIES[name]())
    pairs = found.variables.items()
    found._run = lambda gradients: found.optimizer.apply_gradients([(gradients[name], one) for name, one in pairs])
    assert replicas.deviation(found.path(stacked), run(replicas.one_device()).path(stacked)) <= BOUND
