"""MirroredStrategy: gradients that are sparse, missing, summed already or wrong, and where a step may be called."""

import cases
import numpy
import original
import pytest
import replicas
import tensorflow as tf
import tf_keras

OPTIONS = {"learning_rate": cases.LEARNING_RATE, "momentum": 0.9, "weight_decay": cases.WEIGHT_DECAY}
MAKERS = {"ours": replicas.ours, "tf_keras": original.optimizer}

# Measured in this file: 1.2e-7, roundings.
BOUND = 1e-6


def run(make, options, arrays, strategy=None, **arguments):
    return replicas.Run(lambda: make(options), strategy or replicas.mirrored(), arrays, **arguments)


def zeros(*names):
    return {name: numpy.ones((6, 2), numpy.float32) for name in names}


def rows(values, indices):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(indices), tf.constant([6, 2]))


SPARSE = [rows([[1, 2], [3, 4], [5, 6]], [0, 4, 0]), rows([[1, 1]], [2])]


def sparse_path(make, options, strategy):
    found = run(make, options, zeros("table"), strategy)
    for gradient in SPARSE:
        found.step({"table": gradient})
    return found.now()


@pytest.mark.slow
@pytest.mark.parametrize("centered", [False, True])
def test_sparse_gradients_are_summed_over_replicas_and_rows(centered):
    options = OPTIONS | {"centered": centered}
    found = sparse_path(replicas.ours, options, replicas.mirrored())
    assert replicas.deviation(found, sparse_path(original.optimizer, options, replicas.mirrored())) <= BOUND
    assert replicas.deviation(found, sparse_path(replicas.ours, options, replicas.one_device())) <= BOUND


@pytest.mark.parametrize("clip", [{"clipnorm": 3.0}, {"clipvalue": 2.0}, {"global_clipnorm": 3.0}], ids=str)
@pytest.mark.matrix(1)
def test_sparse_gradients_are_clipped_as_the_dense_ones(clip):
    """tf_keras clips the rows that the replicas hand in, before it sums those that are one row."""
    found = sparse_path(replicas.ours, OPTIONS | clip, replicas.mirrored())
    dense = run(replicas.ours, OPTIONS | clip, zeros("table"), replicas.one_device())
    for gradient in SPARSE:
        dense.step({"table": tf.convert_to_tensor(gradient)})
    assert replicas.deviation(found, dense.now()) <= BOUND


def test_gradients_summed_already_are_taken_as_they_are():
    """`skip_gradients_aggregation`, with the sum taken by hand."""
    stacked = cases.gradients(5, numpy.float32)
    options = OPTIONS | {"global_clipnorm": 40.0}
    plain, by_hand = (run(replicas.ours, options, cases.variables(numpy.float32)) for _ in range(2))
    apply = by_hand.optimizer.apply_gradients

    def summed(pairs):
        gradients, variables = zip(*pairs, strict=True)
        sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        return apply(zip(sums, variables, strict=True), skip_gradients_aggregation=True)

    by_hand.optimizer.apply_gradients = summed
    assert replicas.deviation(by_hand.path(stacked), plain.path(stacked)) == 0


@pytest.mark.parametrize("word", [{"skip_gradients_aggregation": True}, {"experimental_aggregate_gradients": False}])
def test_gradients_not_summed_at_all_step_each_replica_by_its_own(word):
    """As in tf_keras, clip and all; its own word for it, and the older one."""
    copies = {}
    for name, make in MAKERS.items():
        found = run(make, OPTIONS | {"clipnorm": 3.0}, {"w": numpy.ones(2, numpy.float32)})

        def apply(found=found):
            own = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
            gradient = tf.stack([1 + 10 * own, 2.0])
            found.optimizer.apply_gradients([(gradient, found.variables["w"])], **word)

        for _ in range(2):
            tf.function(lambda: replicas.mirrored().run(apply), autograph=False)()
        copies[name] = found.copies(found.variables["w"])
    first, second = copies["ours"]
    assert not numpy.array_equal(first, second)
    # Measured: 6e-8.
    numpy.testing.assert_allclose(copies["ours"], copies["tf_keras"], rtol=BOUND)


def test_variable_without_gradient_stays_as_it_is():
    arrays = {"with": numpy.ones(2, numpy.float32), "without": numpy.ones(3, numpy.float32)}
    options = OPTIONS | {"use_ema": True, "ema_overwrite_frequency": 2}
    found, theirs = (run(make, options, arrays) for make in MAKERS.values())
    for one in (found, theirs):
        for _ in range(3):
            one.step({"with": numpy.ones(2, numpy.float32), "without": None})
    numpy.testing.assert_array_equal(found.now()["without"], arrays["without"])
    assert replicas.deviation(found.now(), theirs.now()) <= BOUND


def test_constraint_holds_on_all_replicas():
    arrays = {"w": numpy.array([0.01, 2.0], numpy.float32)}
    keep = {"constraint": tf_keras.constraints.NonNeg(), "aggregation": tf.VariableAggregation.MEAN}
    found, theirs = (run(make, OPTIONS, arrays, **keep) for make in MAKERS.values())
    stacked = {"w": numpy.ones((4, 2), numpy.float32)}
    path = found.path(stacked)
    assert path["w"][-1][0] == 0
    assert replicas.deviation(path, theirs.path(stacked)) <= BOUND


# Where, and what with -------------------------------------------------------------------------------------------------


def test_step_in_the_scope_but_outside_of_run_is_refused():
    found = run(replicas.ours, OPTIONS, {"w": numpy.ones(2, numpy.float32)})
    pairs = [(tf.ones(2), found.variables["w"])]
    for skip in (False, True):
        with replicas.mirrored().scope(), pytest.raises(RuntimeError, match=r"MirroredStrategy\.run"):
            found.optimizer.apply_gradients(pairs, skip_gradients_aggregation=skip)
    numpy.testing.assert_array_equal(found.now()["w"], [1, 1])
    assert found.optimizer.iterations.numpy() == 0


def test_tf_keras_s_own_error_there_says_nothing():
    """Its documentation promises RuntimeError."""
    theirs = run(original.optimizer, OPTIONS, {"w": numpy.ones(2, numpy.float32)})
    with replicas.mirrored().scope(), pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        theirs.optimizer.apply_gradients([(tf.ones(2), theirs.variables["w"])])


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("built", ["inside", "outside"])
def test_step_outside_of_the_strategy_steps_all_copies(built, graph):
    """All with the one gradient. tf_keras does so, too, if its state was built inside."""
    stacked = cases.gradients(4, numpy.float32)
    options = OPTIONS | {"use_ema": True, "ema_overwrite_frequency": 3, "clipnorm": 3.0}
    found = run(replicas.ours, options, cases.variables(numpy.float32))
    variables = found.variables
    if built == "inside":
        with replicas.mirrored().scope():
            found.optimizer.build(list(variables.values()))

    def step(gradients):
        found.optimizer.apply_gradients([(gradients[name], variables[name]) for name in variables])

    found._run = tf.function(step, autograph=False) if graph else step
    alone = run(replicas.ours, options, cases.variables(numpy.float32), replicas.one_device())
    assert replicas.deviation(found.path(stacked), alone.path(stacked)) <= BOUND


@pytest.mark.parametrize(
    ("gradients", "match"),
    [
        ({"w": numpy.ones(3, numpy.float32)}, r"'w:0' has the shape \(3,\), not \(2,\)"),
        ({"w": None}, "(?i)no gradients"),
    ],
    ids=["shape", "none at all"],
)
def test_wrong_gradients_are_refused(gradients, match):
    found = run(replicas.ours, OPTIONS, {"w": numpy.ones(2, numpy.float32)})
    with pytest.raises(ValueError, match=match):
        found.step(gradients)
    assert found.optimizer.iterations.numpy() == 0
