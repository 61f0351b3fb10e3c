"""What is traced and when, how many operations of ours a step has, and that there is no arithmetic beside them."""

import pytest
import runs
import tensorflow as tf
from cases import COMBINATIONS

from rmsprop._tensorflow import native as _native
from rmsprop._tensorflow import traced
from rmsprop.tf_keras import RMSprop

natives = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])


@pytest.fixture
def traces(monkeypatch):
    """How often a step was put into a graph, of either kind."""
    counts = {"native": 0, "traced": 0}

    def count(module, name):
        step = module.step

        def counted(*arguments, **keywords):
            counts[name] += 1
            return step(*arguments, **keywords)

        monkeypatch.setattr(module, "step", counted)

    count(_native, "native")
    count(traced, "traced")
    return counts


def made(**options):
    variables = [tf.Variable(tf.ones(shape)) for shape in ((2, 3), (3,), ())]
    optimizer = RMSprop(**options)
    optimizer.build(variables)
    return optimizer, variables, [tf.ones_like(variable) for variable in variables]


@natives
def test_the_second_eager_step_traces_nothing(native, traces):
    optimizer, variables, gradients = made(native=native, momentum=0.9, clipnorm=1.0)
    for i in range(6):
        optimizer.learning_rate = 0.5**i
        optimizer.apply_gradients(zip([gradient * i for gradient in gradients], variables, strict=True))
    assert traces == {"native": int(native), "traced": int(not native)}


@natives
def test_the_second_call_of_a_function_traces_nothing(native, traces):
    optimizer, variables, gradients = made(native=native, momentum=0.9, use_ema=True)
    step = tf.function(lambda given: optimizer.apply_gradients(zip(given, variables, strict=True)))
    for i in range(6):
        optimizer.learning_rate = 0.5**i
        step([gradient * i for gradient in gradients])
    assert step.experimental_get_tracing_count() == 1
    assert traces == {"native": int(native), "traced": int(not native)}


@natives
@pytest.mark.parametrize("way", ["eager", "function"])
def test_each_pattern_of_gradients_is_traced_once(way, native, traces):
    optimizer, variables, (one, two, three) = made(native=native)
    sparse = tf.IndexedSlices(one[:1], tf.constant([0]), tf.constant([2, 3]))
    patterns = [(one, two, three), (one, None, three), (None, two, three), (sparse, two, three)]
    step = runs.WAYS[way](lambda *given: optimizer.apply_gradients(zip(given, variables, strict=True)))
    for _ in range(3):
        for pattern in patterns:
            step(*pattern)
    assert sum(traces.values()) == len(patterns)
    assert optimizer.iterations.numpy() == 12


@natives
def test_any_number_of_rows_is_traced_once(native, traces):
    optimizer, (w, *_), _ = made(native=native)
    for rows in ([0], [0, 1, 1], [], [1]):
        values = tf.ones((len(rows), 3))
        optimizer.apply_gradients([(tf.IndexedSlices(values, tf.constant(rows, tf.int64), tf.constant([2, 3])), w)])
    assert sum(traces.values()) == 1


@natives
def test_variables_in_another_order_are_the_same_step(native, traces):
    optimizer, variables, gradients = made(native=native)
    pairs = list(zip(gradients, variables, strict=True))
    optimizer.apply_gradients(pairs)
    optimizer.apply_gradients(pairs[::-1])
    assert sum(traces.values()) == 1


# Operations ----------------------------------------------------------------------------------------------------------

#: What a native step is made of beside the operation: reading, writing, the learning rate in double, and the count.
BESIDE = {
    "Placeholder", "Const", "Cast", "ReadVariableOp", "AssignVariableOp", "AssignAddVariableOp", "Identity", "NoOp",
}  # fmt: skip


def step_function(optimizer, variables, gradients):
    return tf.function(lambda: optimizer.apply_gradients(zip(gradients, variables, strict=True)))


@pytest.mark.parametrize("case", COMBINATIONS, ids=str)
@pytest.mark.matrix
def test_one_operation_for_every_set_of_options(case):
    optimizer, variables, gradients = made(**case.options)
    found = runs.operations(step_function(optimizer, variables, gradients))
    assert found.count("RmspropCall") == 1
    assert set(found) == BESIDE & set(found) | {"RmspropCall"}
    assert found.count("AssignVariableOp") == len(variables) + len(optimizer.variables) - 1


def excluding(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["b"])


#: Options, what is done before build, types of the variables "a", "b", "c", and how many kernel calls the operation
#: makes: one for each kind of number and of decay, and one for the norms of each type.
COUNTS = {
    "one kind": ({}, None, ["float32"] * 3, 1),
    "two types": ({}, None, ["float32", "float64", "float32"], 2),
    "two types, a norm": ({"clipnorm": 1.0}, None, ["float32", "float64", "float32"], 4),
    "four types": ({"clipvalue": 1.0}, None, ["float16", "bfloat16", "float32", "float64"], 4),
    "some decay": ({"weight_decay": 0.5}, excluding, ["float32"] * 3, 2),
    "none decays": ({"weight_decay": 0.0}, excluding, ["float32"] * 3, 1),
    "some decay, a norm": ({"weight_decay": 0.5, "global_clipnorm": 1.0}, excluding, ["float32"] * 3, 3),
}


@pytest.mark.parametrize("name", COUNTS)
def test_how_many_operations_a_step_has(name):
    options, prepare, types, expected = COUNTS[name]
    variables = [tf.Variable(tf.ones(3, dtype), name=letter) for dtype, letter in zip(types, "abcd", strict=False)]
    optimizer = RMSprop(**options)
    if prepare:
        prepare(optimizer)
    optimizer.build(variables)
    gradients = [tf.ones_like(variable) for variable in variables]
    assert runs.native_operations(step_function(optimizer, variables, gradients)) == 1
    assert optimizer.explain().launches == expected


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_one_operation_for_a_sparse_step(clip, dense):
    optimizer, variables, gradients = made(global_clipnorm=clip)
    gradients[0] = tf.IndexedSlices(tf.ones((1, 3)), tf.constant([0]), tf.constant([2, 3]))
    count = 3 if dense else 1
    assert runs.native_operations(step_function(optimizer, variables[:count], gradients[:count])) == 1


@pytest.mark.parametrize(("bucket", "expected"), [(1 << 30, 1), (100, 2), (1, 3)])
def test_large_steps_are_cut_into_buckets(bucket, expected, monkeypatch):
    monkeypatch.setattr(_native, "PART_BYTES", bucket)
    optimizer, variables, gradients = made(momentum=0.9)  # 72, 36 and 12 bytes with their state
    assert runs.native_operations(step_function(optimizer, variables, gradients)) == expected


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_step_in_parts_has_the_bits_of_one(clip, monkeypatch):
    """Each gradient is scaled by its own norm, wherever its part begins."""
    found = []
    for bucket in (1 << 30, 1):
        monkeypatch.setattr(_native, "PART_BYTES", bucket)
        optimizer, variables, _ = made(momentum=0.9, **{clip: 0.5})
        gradients = [tf.ones_like(one) * size for one, size in zip(variables, (10.0, 0.1, 3.0), strict=True)]
        step = step_function(optimizer, variables, gradients)
        for _ in range(2):
            step()
        found.append([one.numpy().tobytes() for one in (*variables, *optimizer.variables)])
    assert found[0] == found[1]
