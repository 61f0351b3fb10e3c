"""When a step is native, the switch that turns that off, and every place in which either kind must run."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "global_clipnorm": 1.0,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
}  # fmt: skip

GRADIENTS = numpy.random.default_rng(0).normal(size=(6, 2, 5)).astype(numpy.float32)


def made(**arguments):
    return runs.build(EVERYTHING, {"w": numpy.linspace(-1, 1, 10, dtype=numpy.float32).reshape(2, 5)}, **arguments)


def path(step, optimizer, variables):
    """What the variable is after each of the steps."""
    found = []
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
        found.append(variables["w"].numpy())
    assert optimizer.iterations.numpy() == len(GRADIENTS)
    return numpy.stack(found)


@pytest.fixture(scope="module")
def expected():
    """Native eager steps; whatever is native comes to the same bits."""
    optimizer, variables = made(native=True)
    return path(lambda given: optimizer.apply_gradients([(given, variables["w"])]), optimizer, variables)


def assert_near(found, expected):
    # Measured up to 1.3e-7.
    assert abs(found - expected).max() <= 1e-6 * abs(expected).max()


# The switch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("native", "variable", "expected"),
    [
        (None, None, 1), (None, "1", 1), (None, "0", 0), (True, None, 1), (True, "0", 1), (False, None, 0),
        (False, "1", 0),
    ],
)  # fmt: skip
def test_the_argument_counts_before_the_environment(native, variable, expected, monkeypatch):
    monkeypatch.delenv("RMSPROP_NATIVE", raising=False)
    if variable is not None:
        monkeypatch.setenv("RMSPROP_NATIVE", variable)
    optimizer, variables = made(native=native)
    step = tf.function(lambda: optimizer.apply_gradients([(tf.ones((2, 5)), variables["w"])]))
    assert runs.native_operations(step) == expected
    runs.follow(optimizer, variables, {"w": GRADIENTS}, "eager")


def test_the_environment_turns_it_off_for_a_process(loaded):
    """Until the process changes it for optimizers that are made afterwards."""
    source = """
        import os, sys, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
        from rmsprop.tf_keras import RMSprop
        for variable in ("0", "1"):
            assert os.environ.setdefault("RMSPROP_NATIVE", variable) == variable
            w, optimizer = tf.Variable([10.0]), RMSprop(0.1)
            step = tf.function(lambda: optimizer.apply_gradients([(w + 0.0, w)]))
            nodes = step.get_concrete_function().graph.as_graph_def().node
            step()
            print(f"{w.numpy()[0]:.6f}", sum(node.op == "RmspropCall" for node in nodes), "numba" in sys.modules)
            del os.environ["RMSPROP_NATIVE"]
    """
    printed = loaded.run(source, RMSPROP_NATIVE="0").splitlines()
    assert printed == ["9.683772 0 False", "9.683772 1 True"]


# Places --------------------------------------------------------------------------------------------------------------


def nested(step):
    inner = tf.function(step)
    middle = tf.function(lambda given: inner(given))
    return tf.function(lambda given: middle(given))


def in_cond(step):
    return tf.function(
        lambda given: tf.cond(tf.reduce_sum(given) < 1e9, lambda: step(given), lambda: tf.constant(0, tf.int64))
    )


def in_cond_otherwise(step):
    return tf.function(
        lambda given: tf.cond(tf.reduce_sum(given) > 1e9, lambda: tf.constant(0, tf.int64), lambda: step(given))
    )


def in_if(step):
    def function(given):
        if tf.reduce_sum(given) < 1e9:
            step(given)

    return tf.function(function)


def in_while(step):
    def function(given):
        return tf.while_loop(lambda i: i < 1, lambda i: (step(given), i + 1)[1:], [tf.constant(0)])

    return tf.function(function)


def in_for(step):
    def function(given):
        for one in tf.expand_dims(given, 0):
            step(one)

    return tf.function(function)


def in_switch_case(step):
    def function(given):
        return tf.switch_case(tf.constant(1), [lambda: tf.constant(0, tf.int64), lambda: step(given)])

    return tf.function(function)


def under_a_tape(step):
    def function(given):
        with tf.GradientTape():
            step(given)

    return tf.function(function)


def on_the_cpu(step):
    def function(given):
        with tf.device("/CPU:0"):
            step(given)

    return tf.function(function)


def with_a_signature(step):
    return tf.function(step, input_signature=[tf.TensorSpec((2, 5))])


def of_unknown_shape(step):
    return tf.function(step, input_signature=[tf.TensorSpec(None)])


def reduced(step):
    return tf.function(step, reduce_retracing=True)


def concrete(step):
    return tf.function(step).get_concrete_function(tf.TensorSpec((2, 5)))


PLACES = [
    nested, in_cond, in_cond_otherwise, in_if, in_while, in_for, in_switch_case, under_a_tape, on_the_cpu,
    with_a_signature, of_unknown_shape, reduced, concrete,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_native_wherever_a_graph_may_have_it(place, expected):
    optimizer, variables = made()
    step = place(lambda given: optimizer.apply_gradients([(given, variables["w"])]))
    runs.assert_bits(path(step, optimizer, variables), expected)
    if hasattr(step, "get_concrete_function"):
        assert runs.native_operations(step, tf.TensorSpec((2, 5))) == 1


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_functions_that_are_run_eagerly(native, expected):
    """There is no graph for our operation then: the rule runs op by op."""
    optimizer, variables = made(native=native)
    step = tf.function(lambda given: optimizer.apply_gradients([(given, variables["w"])]))
    tf.config.run_functions_eagerly(True)
    try:
        found = path(step, optimizer, variables)
    finally:
        tf.config.run_functions_eagerly(False)
    assert_near(found, expected)


def test_functions_that_are_run_eagerly_for_a_while(expected):
    optimizer, variables = made()
    step = tf.function(lambda given: optimizer.apply_gradients([(given, variables["w"])]))
    for i, gradient in enumerate(GRADIENTS):
        tf.config.run_functions_eagerly(i % 2 == 1)
        try:
            step(tf.constant(gradient))
        finally:
            tf.config.run_functions_eagerly(False)
        assert_near(variables["w"].numpy(), expected[i])


def test_a_graph_of_tensorflow_1(expected):
    """`tf.compat.v1.wrap_function`: no automatic control dependencies."""
    optimizer, variables = made()
    step = tf.compat.v1.wrap_function(
        lambda given: optimizer.apply_gradients([(given, variables["w"])]), [tf.TensorSpec((2, 5))]
    )
    runs.assert_bits(path(step, optimizer, variables), expected)


# XLA -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [None, True, False])
def test_within_xla_it_is_traced_by_itself(native, expected):
    optimizer, variables = made(native=native)
    step = tf.function(lambda given: optimizer.apply_gradients([(given, variables["w"])]), jit_compile=True)
    assert_near(path(step, optimizer, variables), expected)
    assert runs.native_operations(step, tf.TensorSpec((2, 5))) == 0


def test_in_a_function_within_xla_it_is_traced_by_itself(expected):
    optimizer, variables = made()
    inner = tf.function(lambda given: optimizer.apply_gradients([(given, variables["w"])]))
    step = tf.function(lambda given: inner(given), jit_compile=True)
    assert_near(path(step, optimizer, variables), expected)


def reused(native):
    """A step that was traced outside of XLA first and is then called in a function that XLA compiles."""
    optimizer, variables = made(native=native)
    inner = tf.function(lambda given: optimizer.apply_gradients([(given, variables["w"])]))
    inner.get_concrete_function(tf.TensorSpec((2, 5)))
    return optimizer, variables, tf.function(lambda given: inner(given), jit_compile=True)


def test_a_step_reused_within_xla_needs_the_switch(expected):
    optimizer, variables, step = reused(False)
    assert_near(path(step, optimizer, variables), expected)


def test_a_native_step_reused_within_xla_is_an_error():
    optimizer, variables, step = reused(True)
    before = variables["w"].numpy()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"unsupported operations[\s\S]*RmspropCall"):
        step(tf.constant(GRADIENTS[0]))
    runs.assert_bits(variables["w"].numpy(), before)
    assert optimizer.iterations.numpy() == 0


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.matrix(1)
def test_a_compiled_model_works_by_itself(native):
    """`compile(jit_compile=True)`: XLA is seen while tracing; the same numbers as without, near enough."""
    found = []
    x, y = GRADIENTS[:, 0], GRADIENTS[:, 1, :1]
    for jit_compile in (True, False):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([tf_keras.layers.Dense(3, activation="tanh"), tf_keras.layers.Dense(1)])
        model.compile(RMSprop(**EVERYTHING, native=native), "mse", jit_compile=jit_compile)
        model.fit(x, y, batch_size=2, epochs=2, verbose=0)
        assert model.optimizer.iterations.numpy() == 6
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        # Measured up to 2.4e-7: the gradients are compiled, too.
        numpy.testing.assert_allclose(one, other, rtol=0, atol=3e-6)
