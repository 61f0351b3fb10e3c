"""Variables whose shape, or a part of it, is known only when they have a value: they train as others do."""

import numpy
import pytest
import runs
import tensorflow as tf

from rmsprop.tf_keras import RMSprop

SHAPES = {"unknown": tf.TensorShape(None), "rows": tf.TensorShape([None, 3]), "columns": tf.TensorShape([2, None])}

OPTIONS = {
    "plain": {},
    "everything": {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "use_ema": True, "global_clipnorm": 0.5},
    "each overwritten": {"use_ema": True, "ema_overwrite_frequency": 2, "clipnorm": 0.5, "initial_velocity": 1.0},
    "wide state": {"slot_dtype": "float64", "clipvalue": 0.1, "momentum": 0.5},
    "traced": {"native": False, "momentum": 0.5},
}


def stepped(shape, way, options, sparse, steps=4):
    """A variable and its optimizer's state after some steps."""
    variable, optimizer = tf.Variable(tf.reshape(tf.range(6.0), [2, 3]), shape=shape), RMSprop(0.1, **options)

    def step():
        gradient = variable * 2.0 + 1.0
        if sparse:
            gradient = tf.IndexedSlices(tf.gather(gradient, [1, 1]), tf.constant([1, 0]), tf.constant([2, 3]))
        return optimizer.apply_gradients([(gradient, variable)])

    wrapped = {"eager": lambda: step, "function": lambda: tf.function(step, autograph=False)}
    wrapped["xla"] = lambda: tf.function(step, autograph=False, jit_compile=True)
    run = wrapped[way]()
    for _ in range(steps):
        run()
    return [one.numpy() for one in (variable, *optimizer.variables)]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.matrix(5)
def test_it_trains_as_one_of_a_known_shape(shape, way, options, sparse):
    found, expected = stepped(shape, way, options, sparse), stepped(None, way, options, sparse)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        numpy.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("options", [OPTIONS["plain"], OPTIONS["everything"]], ids=["plain", "everything"])
def test_xla_compiles_its_steps(options):
    found, expected = (stepped(shape, "xla", options, False) for shape in (SHAPES["unknown"], None))
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("lengths", [(3,), (1, 3), (2, 1), (2, 2, 3), (6,), (3, 2)], ids=str)
@pytest.mark.matrix
def test_a_gradient_of_another_shape_is_refused(lengths, way, native):
    """It would be spread over the variable, or make it larger."""
    variable, optimizer = tf.Variable(tf.ones([2, 3]), shape=tf.TensorShape(None)), RMSprop(0.1, native=native)

    def step(given):
        # A function anew: TensorFlow's is of no use when its first trace has failed.
        return runs.WAYS[way](lambda given: optimizer.apply_gradients([(given, variable)]))(given)

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        step(tf.ones(lengths))
    numpy.testing.assert_array_equal(variable.numpy(), numpy.ones([2, 3]))
    assert optimizer.iterations.numpy() == 0
    step(tf.ones([2, 3]))
    assert optimizer.iterations.numpy() == 1
